import { Redis as IoRedis } from "ioredis";
import { createClient } from "redis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLimiter, fixedWindow, LimiterError, UnavailableError } from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { eventually, Server, sleep } from "./support/server.js";

const limit = fixedWindow({ limit: 1000, window: "1h" });
const used = async (server: Server) => {
  const value = await server.call("HGET", "rl:{u}", "fw:3600000");
  return value === null ? 0 : Number.parseInt(String(value), 10);
};

let server: Server;
let connected: TestClient | undefined;

beforeEach(async () => {
  server = await Server.start();
});
afterEach(async () => {
  await connected?.end();
  connected = undefined;
  await server.stop();
});

describe.each(Object.entries(ofOneServer).filter(([name]) => name !== "an object with send()"))(
  "Redis away, %s",
  (_name, connect) => {
    it("hangs: no call waits longer than told, and none is charged later than it was written", async () => {
      connected = await connect(server.port);
      const limiter = createLimiter(connected.client, { timeoutMs: 100, breaker: false });
      await eventually(async () => (await limiter.consume("u", limit)).source === "redis");
      const before = await used(server);
      server.freeze();
      const start = performance.now();
      const decisions = await Promise.all([1, 2, 3].map(() => limiter.consume("u", limit)));
      expect(performance.now() - start).toBeLessThan(400);
      for (const decision of decisions) {
        expect(decision).toMatchObject({ allowed: true, source: "open", granted: 1, limit: 1000, used: 0 });
      }
      expect(await limiter.refund("u", limit, 1)).toBe(false);
      expect(await limiter.settle("u", limit, { reserved: 1, actual: 2 })).toBe(false);
      await expect(limiter.reset("nobody")).rejects.toThrow(UnavailableError);
      server.thaw();
      await eventually(async () => (await limiter.consume("u", limit)).source === "redis");
      // What was written is charged at most (3 + a settlement's 1 − a refund's 1 + probes), nothing twice.
      expect(await used(server)).toBeLessThanOrEqual(before + 3 + 1 + 5);
    });

    it("hangs and dies: what timed out is not sent again to its successor", async () => {
      connected = await connect(server.port);
      const limiter = createLimiter(connected.client, { timeoutMs: 50, breaker: false });
      await eventually(async () => (await limiter.consume("u", limit)).source === "redis");
      server.freeze();
      const calls = Array.from({ length: 20 }, () => limiter.consume("late", limit));
      for (const call of calls) expect((await call).source).toBe("open");
      await server.kill();
      await server.startAgain();
      await eventually(async () => (await limiter.consume("u", limit)).source === "redis");
      await sleep(100);
      expect(await server.call("EXISTS", "rl:{late}")).toBe(0);
    });

    it("is gone and comes back: what was refused meanwhile is never sent", async () => {
      connected = await connect(server.port);
      const limiter = createLimiter(connected.client, {
        timeoutMs: 100,
        onUnavailable: "closed",
        breaker: false,
      });
      await eventually(async () => (await limiter.consume("u", limit)).source === "redis");
      await server.kill();
      await sleep(50);
      for (let i = 0; i < 50; i++) {
        const decision = await limiter.consume("u", limit);
        expect(decision).toMatchObject({ allowed: false, source: "closed", retryAfterMs: 5000 });
      }
      await server.startAgain();
      let probes = 0;
      await eventually(async () => {
        probes++;
        return (await limiter.consume("u", limit)).source === "redis";
      });
      await sleep(300);
      // A probe at the moment of reconnecting may be written by some clients; none of the fifty may.
      expect(await used(server)).toBeLessThanOrEqual(probes);
      expect(await used(server)).toBeLessThan(50);
    });
  },
);

describe("onUnavailable", () => {
  const away = { send: () => Promise.reject(new Error("LOADING Redis is loading the dataset in memory")) };

  it("may be a function, which knows why and what", async () => {
    const limiter = createLimiter(away, {
      onUnavailable: (error, call) => (error.kind === "loading" && call.cost === 2 ? "closed" : "open"),
    });
    expect(await limiter.consume("u", limit, { cost: 2 })).toMatchObject({
      allowed: false,
      source: "closed",
    });
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: true, source: "open" });
  });

  it("decides several limits and peeks too", async () => {
    const limiter = createLimiter(away, { onUnavailable: "closed" });
    expect(await limiter.peek("u", limit)).toMatchObject({ source: "closed" });
    const all = await limiter.consumeAll([
      { key: "u", limit },
      { key: "v", limit },
    ]);
    expect(all).toMatchObject({ allowed: false, refusedBy: 0, retryAfterMs: 5000 });
    expect(all.decisions).toHaveLength(2);
  });

  it("does not hide mistakes", async () => {
    const broken = { send: () => Promise.reject(new TypeError("args must be buffers")) };
    await expect(createLimiter(broken).consume("u", limit)).rejects.toThrow(LimiterError);
    const foreign = { send: () => Promise.resolve("OK") };
    await expect(createLimiter(foreign).consume("u", limit)).rejects.toThrow("not the module's");
    const noRights = { send: () => Promise.reject(new Error("NOAUTH Authentication required.")) };
    await expect(createLimiter(noRights).consume("u", limit)).rejects.toThrow("NOAUTH");
  });
});

describe("a client", () => {
  it("of node-redis that was never connected is a mistake", async () => {
    const limiter = createLimiter(createClient({ url: server.url }));
    await expect(limiter.consume("u", limit)).rejects.toThrow("never connected");
  });

  it("of node-redis gets an error listener, once, and only where it has none", () => {
    const bare = createClient({ url: server.url });
    createLimiter(bare);
    createLimiter(bare);
    expect(bare.listenerCount("error")).toBe(1);
    const own = createClient({ url: server.url }).on("error", () => {});
    createLimiter(own);
    expect(own.listenerCount("error")).toBe(1);
  });

  it("that is still connecting for the first time is waited for", async () => {
    const late = createClient({ url: server.url });
    connected = { client: late, end: () => late.destroy() };
    void late.connect();
    const limiter = createLimiter(late, { timeoutMs: 5000 });
    const decisions = await Promise.all(Array.from({ length: 50 }, () => limiter.consume("u", limit)));
    expect(new Set(decisions.map(({ source }) => source))).toEqual(new Set(["redis"]));
  });

  it("of ioredis with lazyConnect connects at the first call", async () => {
    const lazy = new IoRedis({ port: server.port, lazyConnect: true });
    connected = { client: lazy, end: () => lazy.disconnect() };
    const decision = await createLimiter(lazy, { timeoutMs: 5000 }).consume("u", limit);
    expect(decision.source).toBe("redis");
  });

  it("has its keyPrefix before every key of ours", async () => {
    const io = new IoRedis({ port: server.port, keyPrefix: "app:" });
    const node = createClient({ url: server.url, keyPrefix: "app:" });
    await node.connect();
    connected = { client: io, end: () => [io.disconnect(), node.destroy()] };
    for (const client of [io, node]) {
      await server.call("FLUSHALL");
      const limiter = createLimiter(client, { timeoutMs: 5000 });
      await limiter.consume("u", limit);
      expect(await server.call("KEYS", "*")).toEqual(["app:rl:{u}"]);
      expect(await limiter.reset("u")).toBe(true);
      expect(await server.call("KEYS", "*")).toEqual([]);
    }
  });
});

describe("timers", () => {
  it("are cleared: none is left once the answers are there", async () => {
    const { client, end } = await ofOneServer["node-redis"]!(server.port);
    connected = { client, end };
    const limiter = createLimiter(client, { timeoutMs: 60_000 });
    await Promise.all(Array.from({ length: 20 }, () => limiter.consume("u", limit)));
    await sleep(0);
    expect(process.getActiveResourcesInfo().filter((name) => name === "Timeout").length).toBeLessThan(20);
  });

  it("an answer that arrived while the program was busy counts", async () => {
    const { client, end } = await ofOneServer["node-redis"]!(server.port);
    connected = { client, end };
    const limiter = createLimiter(client, { timeoutMs: 50 });
    await limiter.consume("u", limit);
    const pending = limiter.consume("u", limit);
    await new Promise(setImmediate); // Now it is written.
    const until = performance.now() + 150;
    while (performance.now() < until);
    expect((await pending).source).toBe("redis");
  });
});
