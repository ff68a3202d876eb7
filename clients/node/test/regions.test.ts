import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createLimiter,
  fixedWindow,
  type Limiter,
  leakyBucket,
  lease,
  type RedisClient,
  type RegionsOptions,
  slidingCounter,
  slidingLog,
  tokenBucket,
} from "../src/index.js";
import { allow, countingMetrics, fakeClient } from "./support/fakes.js";
import { Network } from "./support/network.js";
import { eventually, Server, sleep } from "./support/server.js";

const limits = [
  tokenBucket({ capacity: 1000, refill: 1, period: "1h" }),
  leakyBucket({ capacity: 1000, leak: 1, period: "1h" }),
  slidingCounter({ limit: 1000, window: "1d" }),
  fixedWindow({ limit: 1000, window: "1d", align: true }),
];
const daily = limits[3]!;

let servers: Server[];
let network: Network;
let clients: RedisClient[];
let ends: (() => unknown)[];
let open: Limiter[];

beforeAll(async () => {
  servers = await Promise.all([0, 1, 2].map(() => Server.start()));
  // The third region lies behind a network that the test cuts.
  network = await Network.to(servers[2]!.port);
  const made = await Promise.all(
    [servers[0]!.port, servers[1]!.port, network.port].map(async (port) => {
      const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: 20 } });
      client.on("error", () => {});
      await client.connect();
      return client;
    }),
  );
  clients = made;
  ends = made.map((client) => () => client.destroy());
});
afterAll(async () => {
  for (const end of ends ?? []) end();
  await network?.stop();
  await Promise.all((servers ?? []).map((server) => server.stop()));
});
beforeEach(async () => {
  open = [];
  for (const server of servers) {
    server.clock.freeze(Date.UTC(2026, 5, 1, 12));
    await server.call("FLUSHALL");
  }
});
afterEach(async () => {
  await Promise.all(open.map((limiter) => limiter.close()));
});

/** A limiter of the region whose place is `near`. */
function region(near: number, options: Partial<RegionsOptions> = {}, more: object = {}): Limiter {
  const others = clients.filter((_, i) => i !== near);
  const limiter = createLimiter(clients[near]!, {
    timeoutMs: 500,
    regions: { others, lagMs: 20, ...options },
    ...more,
  });
  open.push(limiter);
  return limiter;
}

describe("regions", () => {
  it.each(limits)("come to count all that was charged in any: $algorithm", async (limit) => {
    const limiters = [0, 1, 2].map((near) => region(near));
    for (const [i, limiter] of limiters.entries()) {
      for (let n = 0; n <= i; n++) await limiter.consume("u", limit, { cost: 10 });
    }
    for (const limiter of limiters) {
      await eventually(async () => (await limiter.peek("u", limit)).used === 60, 5000);
    }
    expect(await limiters[0]!.refund("u", limit, 5)).toBeTruthy();
    expect(await limiters[1]!.settle("u", limit, { reserved: 10, actual: 15 })).toBeTruthy();
    await limiters[2]!.consume("u", limit, { cost: 950, mode: "partial" });
    for (const limiter of limiters) {
      await eventually(async () => (await limiter.peek("u", limit)).used >= 995, 5000);
    }
    await sleep(100);
    const used = await Promise.all(limiters.map(async (limiter) => (await limiter.peek("u", limit)).used));
    expect(new Set(used).size).toBe(1);
    expect(used[0]).toBeLessThanOrEqual(1005);
  });

  it("one cut off is skipped; what is young enough reaches it when it is back, once", async () => {
    const metrics = countingMetrics();
    const near = region(0, {}, { metrics, breaker: { resetMs: 100 } });
    const far = region(2, {}, { breaker: { resetMs: 100 } });
    await near.consume("u", daily);
    await eventually(async () => (await far.peek("u", daily)).used === 1, 5000);
    network.cut();
    await eventually(async () => (await far.peek("u", daily)).source === "open", 5000);
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      expect((await near.consume("u", daily)).source).toBe("redis");
      expect(performance.now() - start).toBeLessThan(550);
      await sleep(10);
    }
    const second = createLimiter(clients[1]!, { timeoutMs: 500 });
    await eventually(async () => (await second.peek("u", daily)).used === 21, 5000);
    network.mend();
    await eventually(async () => (await far.peek("u", daily)).used >= 20, 5000);
    await sleep(200);
    // What was written when the network broke is not sent twice: it may be missing.
    const { used } = await far.peek("u", daily);
    expect(used).toBeLessThanOrEqual(21);
    expect(21 - used).toBe(metrics.counts.get("dropped 1 error") ?? 0);
  });

  it("what is too old is dropped, and counted", async () => {
    const metrics = countingMetrics();
    const near = region(0, { maxAgeMs: 100 }, { metrics, breaker: { failures: 1, resetMs: 50 } });
    network.cut();
    await near.consume("u", daily, { cost: 7 });
    await eventually(
      () => (metrics.counts.get("dropped 1 age") ?? 0) + (metrics.counts.get("dropped 1 error") ?? 0) === 7,
      5000,
    );
    network.mend();
    const far = region(2);
    await eventually(async () => (await far.peek("u", daily)).source === "redis", 5000);
    await sleep(100);
    expect(await far.peek("u", daily)).toMatchObject({ used: 0 });
  });

  it("batches by key, and sends each batch once though its answer is late", async () => {
    const metrics = countingMetrics();
    const near = fakeClient(() => allow(100));
    const slow = fakeClient(() => new Promise(() => {}));
    const regions = { others: [slow], lagMs: 20 };
    const limiter = createLimiter(near, { regions, timeoutMs: 50, metrics });
    for (let i = 0; i < 30; i++) await limiter.consume("u", daily);
    await limiter.refund("u", daily, 5);
    await sleep(200);
    await limiter.close();
    expect(slow.sent).toEqual([["RL.FIXED", "rl:{u}", "1000", "1d", "ALIGN", "COST", "25", "FORCE"]]);
    expect(metrics.counts.get("dropped 0 error")).toBe(25);
    expect(metrics.counts.get("error aligned-1d timeout")).toBe(1);
  });

  it("tells what several limits charged, and nothing where they refused", async () => {
    const far = fakeClient(() => allow(100));
    let refuses = false;
    const near = fakeClient(() =>
      refuses ? [0, 9, allow(), [0, 5, 0, 9, 9, 9, 5]] : [1, 0, allow(), allow()],
    );
    const limiter = createLimiter(near, { regions: { others: [far] } });
    const items = [
      { key: "u", limit: daily, cost: 3 },
      { key: "u", limit: limits[2]! },
    ];
    await limiter.consumeAll(items);
    refuses = true;
    await limiter.consumeAll(items);
    await limiter.close();
    expect(far.sent.map(([name, , , , ...rest]) => [name, ...rest].join(" "))).toEqual([
      "RL.FIXED ALIGN COST 3 FORCE",
      "RL.SLIDINGCOUNTER FORCE",
    ]);
  });

  it("is bounded by keys; close sends what waits", async () => {
    const metrics = countingMetrics();
    const far = fakeClient(() => allow(100));
    const limiter = createLimiter(
      fakeClient(() => allow(100)),
      { regions: { others: [far], max: 10, lagMs: 60_000 }, metrics },
    );
    for (let i = 0; i < 100; i++) await limiter.consume(`u${i}`, daily);
    await limiter.close();
    expect(far.sent).toHaveLength(10);
    expect(metrics.counts.get("dropped 0 full")).toBe(90);
  });

  it("names what is wrong", async () => {
    const near = fakeClient(() => allow());
    expect(() => createLimiter(near, { regions: { others: [] } })).toThrow("regions.others");
    expect(() => createLimiter(near, { regions: { others: [near], lagMs: 0 } })).toThrow("regions.lagMs");
    const limiter = createLimiter(near, { regions: { others: [near] } });
    await expect(limiter.consume("u", fixedWindow({ limit: 5, window: "1m" }))).rejects.toThrow(
      "align: true",
    );
    await expect(limiter.consume("u", slidingLog({ limit: 5, window: "1m" }))).rejects.toThrow("slidingLog");
    await expect(limiter.acquire("u", lease({ limit: 5, ttl: "1m" }))).rejects.toThrow("lease");
    await expect(
      limiter.consumeAll([{ key: "u", limit: slidingLog({ limit: 5, window: "1m" }) }]),
    ).rejects.toThrow("slidingLog");
    expect(near.sent).toHaveLength(0);
  });
});
