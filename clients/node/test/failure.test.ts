import { monitorEventLoopDelay } from "node:perf_hooks";
import { Redis as IoRedis } from "ioredis";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { slotOf } from "../src/clients/slot.js";
import {
  createLimiter,
  type Decision,
  fixedWindow,
  type Limiter,
  type LimiterOptions,
  slidingLog,
} from "../src/index.js";
import { ofCluster, type TestClient } from "./support/clients.js";
import { countingMetrics } from "./support/fakes.js";
import { Network } from "./support/network.js";
import { Cluster, eventually, Server, sleep } from "./support/server.js";

const limit = fixedWindow({ limit: 1_000_000, window: "1h", name: "api" });
const TIMEOUT_MS = 200;
const RESET_MS = 600;
/** How long the clients themselves may take to connect again. */
const RECONNECT_MS = 4000;

const unhandled: unknown[] = [];
const warnings: Error[] = [];
const onUnhandled = (reason: unknown) => void unhandled.push(reason);
const onWarning = (warning: Error) => void warnings.push(warning);

beforeAll(() => {
  process.on("unhandledRejection", onUnhandled);
  process.on("warning", onWarning);
});
afterAll(() => {
  process.off("unhandledRejection", onUnhandled);
  process.off("warning", onWarning);
});
afterEach(() => {
  expect(unhandled).toEqual([]);
  expect(warnings.filter(({ name }) => name === "MaxListenersExceededWarning")).toEqual([]);
});

interface Outage {
  /** The kinds of error that tell of it. */
  readonly kinds: readonly string[];
  begin(server: Server, network: Network): unknown;
  end(server: Server, network: Network): unknown;
}

const outages: Record<string, Outage> = {
  stopped: {
    kinds: ["connection", "timeout"],
    begin: (server) => server.kill(),
    end: (server) => server.startAgain(),
  },
  frozen: {
    kinds: ["timeout"],
    begin: (server) => server.freeze(),
    end: (server) => server.thaw(),
  },
  "cut off": {
    kinds: ["connection", "timeout"],
    begin: (_server, network) => network.cut(),
    end: (_server, network) => network.mend(),
  },
  "cut off without a word": {
    kinds: ["timeout"],
    begin: (_server, network) => network.swallow(),
    end: (_server, network) => network.mend(),
  },
  full: {
    kinds: ["oom"],
    begin: (server) => server.call("CONFIG", "SET", "maxmemory", "1"),
    end: (server) => server.call("CONFIG", "SET", "maxmemory", "0"),
  },
  demoted: {
    kinds: ["readonly"],
    begin: (server) => server.call("REPLICAOF", "127.0.0.1", "1"),
    end: (server) => server.call("REPLICAOF", "NO", "ONE"),
  },
  "demoted, its primary away": {
    kinds: ["masterdown", "readonly"],
    begin: async (server) => {
      await server.call("CONFIG", "SET", "replica-serve-stale-data", "no");
      await server.call("REPLICAOF", "127.0.0.1", "1");
    },
    end: (server) => server.call("REPLICAOF", "NO", "ONE"),
  },
  loading: {
    kinds: ["loading", "timeout"],
    begin: async (server) => {
      await server.call("DEBUG", "POPULATE", "400", "filler", "200");
      await server.call("CONFIG", "SET", "loading-process-events-interval-bytes", "1024");
      await server.call("CONFIG", "SET", "key-load-delay", "5000");
      void server.call("DEBUG", "RELOAD").catch(() => {});
      await eventually(async () =>
        /LOADING/.test(String(await server.call("GET", "x").catch((error) => error))),
      );
    },
    end: (server) =>
      eventually(
        async () => !/LOADING/.test(String(await server.call("GET", "x").catch((error) => error))),
        30_000,
      ),
  },
};

const connections: Record<string, (port: number) => Promise<TestClient>> = {
  "node-redis": async (port) => {
    const client = createClient({ url: `redis://127.0.0.1:${port}` });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  ioredis: async (port) => {
    const client = new IoRedis(port, "127.0.0.1");
    client.on("error", () => {});
    await new Promise((resolve) => client.once("ready", resolve));
    return { client, end: () => client.disconnect() };
  },
};

let server: Server;
let network: Network;
let connected: TestClient;
let limiter: Limiter;

beforeEach(async () => {
  server = await Server.start();
  network = await Network.to(server.port);
});
afterEach(async () => {
  await limiter?.close();
  await connected?.end();
  await network?.stop();
  await server?.stop();
});

/** A limiter behind the network, warmed up. */
async function limiterOn(
  connect: (port: number) => Promise<TestClient>,
  options: LimiterOptions,
): Promise<Limiter> {
  connected = await connect(network.port);
  limiter = createLimiter(connected.client, {
    timeoutMs: TIMEOUT_MS,
    breaker: { resetMs: RESET_MS },
    ...options,
  });
  await eventually(async () => (await limiter.consume("warm-up", limit)).source === "redis");
  return limiter;
}

/**
 * Calls for a while, `atOnce` at a time.
 *
 * @returns what was decided, and the longest wait, less what this busy process itself was late
 */
async function load(ms: number, atOnce: number, call: (n: number) => Promise<Decision>) {
  const lag = monitorEventLoopDelay({ resolution: 5 });
  lag.enable();
  const decisions: Decision[] = [];
  let longest = 0;
  const end = performance.now() + ms;
  const worker = async (n: number) => {
    // Where this machine itself stood still meanwhile, a few calls more.
    for (let made = 0; performance.now() < end || made < 10; made++) {
      const start = performance.now();
      decisions.push(await call(n));
      longest = Math.max(longest, performance.now() - start);
      await sleep(1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, n) => worker(n)));
  lag.disable();
  return { decisions, longestMs: longest - lag.max / 1e6 };
}

const listenersOf = (client: unknown) => {
  const emitter = client as NodeJS.EventEmitter;
  return Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]));
};

describe.each(Object.entries(outages))("Redis %s", { timeout: 45_000 }, (_outage, { kinds, begin, end }) => {
  it.each(Object.entries(connections))(
    "by %s: nobody waits long, all pass, and it recovers by itself",
    async (_, connect) => {
      const metrics = countingMetrics();
      await limiterOn(connect, { onUnavailable: "open", metrics });
      const listeners = listenersOf(connected.client);
      await begin(server, network);

      const { decisions, longestMs } = await load(RESET_MS, 10, () => limiter.consume("u", limit));
      expect(longestMs).toBeLessThanOrEqual(TIMEOUT_MS + 50);
      expect(decisions.every(({ allowed }) => allowed)).toBe(true);
      const open = decisions.filter(({ source }) => source === "open").length;
      expect(open).toBeGreaterThan(0);
      expect(metrics.counts.get("request api allowed open")).toBeGreaterThanOrEqual(open);
      const seen = [...metrics.counts.keys()].flatMap((name) => /^error api (.*)$/.exec(name)?.[1] ?? []);
      expect(seen.some((kind) => kinds.includes(kind))).toBe(true);
      // A busy machine may let any of them time out.
      for (const kind of seen) expect([...kinds, "timeout"]).toContain(kind);
      expect(metrics.counts.get("breaker closed open")).toBeGreaterThan(0);

      // The breaker is open: a probe in 600 ms may cost timeoutMs, the median costs nothing.
      const costs: number[] = [];
      for (let i = 0; i < 300; i++) {
        const start = performance.now();
        await limiter.consume("u", limit);
        costs.push(performance.now() - start);
      }
      expect(costs.sort((x, y) => x - y)[150]).toBeLessThan(1);

      await end(server, network);
      await eventually(
        async () => (await limiter.consume("u", limit)).source === "redis",
        RESET_MS + RECONNECT_MS,
      );
      const { decisions: after } = await load(100, 5, () => limiter.consume("u", limit));
      expect(after.every(({ source }) => source === "redis")).toBe(true);
      expect(metrics.counts.get("breaker half-open closed")).toBeGreaterThan(0);
      expect(listenersOf(connected.client)).toEqual(listeners);
    },
  );

  it("closed refuses until the next probe; memory holds the limit by its share", async () => {
    const few = fixedWindow({ limit: 40, window: "1h", name: "few" });
    await limiterOn(connections["node-redis"]!, { onUnavailable: "closed" });
    const share = createLimiter(connected.client, {
      timeoutMs: TIMEOUT_MS,
      onUnavailable: { memory: { share: 1 / 4 } },
      breaker: { resetMs: 60_000 },
    });
    await share.peek("u", few);
    await begin(server, network);
    const closed = await load(200, 10, () => limiter.consume("u", few));
    const refused = closed.decisions.filter(({ source }) => source === "closed");
    expect(refused.length).toBeGreaterThan(0);
    for (const { allowed, retryAfterMs } of refused) {
      expect(allowed).toBe(false);
      expect(retryAfterMs).toBeGreaterThanOrEqual(1);
      expect(retryAfterMs).toBeLessThanOrEqual(RESET_MS);
    }
    const held = await load(500, 10, () => share.consume("u", few));
    expect(Math.max(closed.longestMs, held.longestMs)).toBeLessThanOrEqual(TIMEOUT_MS + 50);
    const own = held.decisions.filter(({ source }) => source === "memory");
    expect(own.filter(({ allowed }) => allowed)).toHaveLength(10);
    expect(own.filter(({ allowed }) => !allowed).length).toBeGreaterThan(0);
    await end(server, network);
    await share.close();
  });
});

describe("under load from 100 connections", () => {
  it("a freeze costs nobody more than timeoutMs, each connection recovers, nothing leaks", async () => {
    const clients = await Promise.all(
      Array.from({ length: 100 }, () => connections["node-redis"]!(network.port)),
    );
    const limiters = clients.map(({ client }) =>
      createLimiter(client, { timeoutMs: TIMEOUT_MS * 3, breaker: { failures: 2, resetMs: RESET_MS } }),
    );
    const call = (n: number) => limiters[n]!.consume("u", limit);
    const calm = await load(300, 100, call);
    expect(calm.decisions.every(({ source }) => source === "redis")).toBe(true);
    const listeners = clients.map(({ client }) => listenersOf(client));

    setTimeout(() => server.freeze(), 100);
    setTimeout(() => server.thaw(), 1500);
    const { decisions, longestMs } = await load(1500, 100, call);
    expect(longestMs).toBeLessThanOrEqual(TIMEOUT_MS * 3 + 50);
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect(decisions.filter(({ source }) => source === "open").length).toBeGreaterThan(100);

    for (const n of limiters.keys()) {
      await eventually(async () => (await call(n)).source === "redis", RESET_MS + RECONNECT_MS);
    }
    expect(clients.map(({ client }) => listenersOf(client))).toEqual(listeners);
    await Promise.all(limiters.map((one) => one.close()));
    for (const { end } of clients) await end();
  });
});

describe.each(Object.entries(ofCluster))("resharded, by %s", (_name, connect) => {
  it("every call is decided by Redis while a slot moves, and none is charged twice", async () => {
    const cluster = await Cluster.start();
    const log = slidingLog({ limit: 1_000_000, window: "1h", name: "log" });
    connected = await connect(cluster.ports);
    limiter = createLimiter(connected.client, {
      timeoutMs: 2000,
      onUnavailable: "closed",
      breaker: { resetMs: RESET_MS },
    });
    await limiter.consume("moves", limit);
    let calls = 1;
    const loading = load(1000, 5, async () => {
      calls++;
      return limiter.consume("moves", limit);
    });
    await sleep(100);
    const together: (string | undefined)[] = [];
    const both = [
      { key: "moves", limit },
      { key: "moves", limit: log },
    ];
    await cluster.move(slotOf("{moves}"), async () => {
      // Its hash is here and its log is nowhere: TRYAGAIN, which is no mistake.
      together.push((await limiter.consumeAll(both)).decisions[1]?.source);
    });
    const { decisions } = await loading;
    expect(decisions.every(({ source }) => source === "redis")).toBe(true);
    expect(await limiter.peek("moves", limit)).toMatchObject({
      used: calls + (together[0] === "redis" ? 1 : 0),
    });
    expect(["redis", "closed"]).toContain(together[0]);
    await eventually(async () => (await limiter.consumeAll(both)).allowed, RESET_MS + RECONNECT_MS);
    await cluster.stop();
  });
});
