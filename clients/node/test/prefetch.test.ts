import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createLimiter,
  fixedWindow,
  type Limiter,
  leakyBucket,
  slidingCounter,
  slidingLog,
  tokenBucket,
} from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { allow, countingMetrics, fakeClient, refuse } from "./support/fakes.js";
import { eventually, Server, sleep } from "./support/server.js";

let server: Server;
let connected: TestClient;
let limiter: Limiter;

beforeAll(async () => {
  server = await Server.start();
  connected = await ofOneServer["node-redis"]!(server.port);
});
afterAll(async () => {
  await connected?.end();
  await server?.stop();
});
beforeEach(async () => {
  await server.call("FLUSHALL");
  await server.call("CONFIG", "RESETSTAT");
  server.clock.freeze();
  limiter = createLimiter(connected.client, { timeoutMs: 5000 });
});
afterEach(() => limiter.close());

const calls = async (command: string) => {
  const info = String(await server.call("INFO", "commandstats"));
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`, "i").exec(info)?.[1] ?? 0);
};

describe("prefetch", () => {
  it("takes units at a time and serves them from memory, to many callers at once", async () => {
    const hot = limiter.for("hot", fixedWindow({ limit: 1000, window: "1h" }), {
      prefetch: { units: 50, maxMs: 60_000 },
    });
    const decisions = await Promise.all(Array.from({ length: 500 }, () => hot.consume("u")));
    expect(decisions.every(({ allowed, granted }) => allowed && granted === 1)).toBe(true);
    expect(await calls("rl.fixed")).toBe(10);
    expect(decisions.filter(({ source }) => source === "redis")).toHaveLength(10);
    expect(new Set(decisions.map(({ used }) => used)).size).toBe(500);
    expect(await hot.peek("u")).toMatchObject({ used: 500 });
  });

  it("never serves more than the limit, and tells the truth at its end", async () => {
    const hot = limiter.for("hot", fixedWindow({ limit: 120, window: "1h" }), {
      prefetch: { units: 50, maxMs: 60_000 },
    });
    const decisions = await Promise.all(Array.from({ length: 300 }, () => hot.consume("u")));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(120);
    expect(decisions.find(({ allowed }) => !allowed)).toMatchObject({
      granted: 0,
      remaining: 0,
      retryAfterMs: 3_600_000,
    });
    expect(await hot.peek("u")).toMatchObject({ used: 120 });
  });

  it("serves costs above 1, and gives back what is too little for one", async () => {
    const hot = limiter.for("hot", slidingCounter({ limit: 12, window: "1h" }), {
      prefetch: { units: 5, maxMs: 60_000 },
    });
    for (let i = 0; i < 2; i++) expect((await hot.consume("u", { cost: 4 })).allowed).toBe(true);
    expect(await hot.consume("u", { cost: 5 })).toMatchObject({ allowed: false });
    expect(await hot.peek("u")).toMatchObject({ used: 8 });
    expect(await hot.consume("u", { cost: 4 })).toMatchObject({ allowed: true });
    expect(await hot.consume("u", { cost: 20 })).toMatchObject({ allowed: false, retryAfterMs: null });
    expect(await hot.peek("u")).toMatchObject({ used: 12 });
  });

  it.each([
    tokenBucket({ capacity: 100, refill: 1, period: "1h" }),
    slidingCounter({ limit: 100, window: "1h" }),
    slidingLog({ limit: 100, window: "1h" }),
    fixedWindow({ limit: 100, window: "1h" }),
  ])("gives back the rest when it is idle for maxMs, or closed: $algorithm", async (limit) => {
    const hot = limiter.for("hot", limit, { prefetch: { units: 50, maxMs: 100 } });
    await hot.consume("u");
    await hot.consume("u");
    expect(await hot.peek("u")).toMatchObject({ used: 50 });
    await eventually(async () => (await hot.peek("u")).used === 2, 2000);
    await hot.consume("u");
    await limiter.close();
    limiter = createLimiter(connected.client, { timeoutMs: 5000 });
    expect(await limiter.for("hot", limit).peek("u")).toMatchObject({ used: 3 });
  });

  it("units die with their fixed window, and are not given back to the next", async () => {
    server.clock.advance(0);
    const client = fakeClient((words) =>
      words.includes("PARTIAL") ? [10, 100, 90, 0, 80, 80, 10] : allow(),
    );
    const own = createLimiter(client, { timeoutMs: 50 });
    const hot = own.for("hot", fixedWindow({ limit: 100, window: "1s" }), {
      prefetch: { units: 10, maxMs: 60_000 },
    });
    await hot.consume("u");
    expect((await hot.consume("u")).source).toBe("cache");
    await sleep(100);
    expect((await hot.consume("u")).source).toBe("redis");
    await sleep(100);
    await own.close();
    expect(client.sent).toHaveLength(2);
    expect(client.sent.every((words) => words.includes("PARTIAL"))).toBe(true);
  });

  it("counts what is served in metrics as `cache`, and not what it takes", async () => {
    const metrics = countingMetrics();
    const own = createLimiter(connected.client, { timeoutMs: 5000, metrics });
    const hot = own.for("hot", tokenBucket({ capacity: 100, refill: 1, period: "1h" }), {
      prefetch: { units: 10 },
    });
    for (let i = 0; i < 5; i++) await hot.consume("u");
    await own.close();
    expect(metrics.counts.get("request hot allowed cache")).toBe(4);
    expect(metrics.counts.get("request hot allowed redis")).toBe(1);
  });

  it("forgets what it holds on a reset, and leaves partial, force and refunds to Redis", async () => {
    const hot = limiter.for("hot", fixedWindow({ limit: 100, window: "1h" }), {
      prefetch: { units: 10, maxMs: 60_000 },
    });
    await hot.consume("u");
    await hot.reset("u");
    expect(await hot.consume("u")).toMatchObject({ source: "redis", used: 1 });
    expect(await hot.consume("u", { cost: 5, mode: "partial" })).toMatchObject({ source: "redis", used: 15 });
    expect(await hot.consume("u", { cost: 5, mode: "force" })).toMatchObject({ source: "redis", used: 20 });
    expect(await hot.refund("u", 5)).toMatchObject({ used: 15 });
  });

  it("blocks as without it", async ({ skip }) => {
    skip(!(await server.hasBlocks()), "the module has no BLOCK yet");
    const limit = fixedWindow({ limit: 3, window: "1h", block: { for: "2h" } });
    const hot = limiter.for("hot", limit, { prefetch: { units: 2, maxMs: 60_000 } });
    for (let i = 0; i < 3; i++) expect((await hot.consume("u")).allowed).toBe(true);
    expect(await hot.consume("u")).toMatchObject({ allowed: false, blocked: "now" });
    expect(await hot.consume("u")).toMatchObject({ allowed: false, blocked: "already" });
  });

  it("Redis away: every caller has the fallback's decision within timeoutMs", async () => {
    const client = fakeClient(() => new Promise(() => {}));
    const own = createLimiter(client, { timeoutMs: 60, onUnavailable: { memory: { share: 1 } } });
    const hot = own.for("hot", fixedWindow({ limit: 5, window: "1h" }), { prefetch: { units: 5 } });
    const start = performance.now();
    const decisions = await Promise.all(Array.from({ length: 20 }, () => hot.consume("u")));
    expect(performance.now() - start).toBeLessThan(110);
    expect(decisions.filter(({ allowed, source }) => allowed && source === "memory")).toHaveLength(5);
    expect(client.sent).toHaveLength(1);
    await own.close();
  });

  it("the refusal of a hot key can be repeated by the deny cache", async () => {
    const client = fakeClient(() => refuse());
    const own = createLimiter(client, { denyCache: {} });
    const hot = own.for("hot", fixedWindow({ limit: 5, window: "1h" }), { prefetch: { units: 5 } });
    for (let i = 0; i < 10; i++) expect((await hot.consume("u")).allowed).toBe(false);
    expect(client.sent).toHaveLength(1);
    await own.close();
    await expect(hot.consume("u")).rejects.toThrow("closed");
  });

  it("is bounded, and leaves no timer once it is closed", async () => {
    const client = fakeClient((words) =>
      words.includes("PARTIAL") ? [10, 10, 0, 0, 9e6, 9e6, 10] : allow(),
    );
    const own = createLimiter(client);
    const hot = own.for("hot", tokenBucket({ capacity: 10, refill: 1, period: "1h" }), {
      prefetch: { units: 10, maxMs: 3_600_000 },
    });
    const before = process.getActiveResourcesInfo().length;
    for (let i = 0; i < 10_100; i++) await hot.consume(`u${i}`);
    expect(client.sent.filter((words) => words.includes("-9"))).toHaveLength(100);
    await own.close();
    expect(client.sent.filter((words) => words.includes("-9"))).toHaveLength(10_100);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before + 2);
  });

  it("names what is wrong", () => {
    const limit = fixedWindow({ limit: 5, window: "1m" });
    expect(() =>
      limiter.for("x", leakyBucket({ capacity: 5, leak: 1, period: "1s" }), { prefetch: { units: 5 } }),
    ).toThrow("prefetch");
    expect(() => limiter.for("x", limit, { prefetch: { units: 0 } })).toThrow("prefetch.units");
    expect(() => limiter.for("x", limit, { prefetch: { units: 5, maxMs: 0 } })).toThrow("prefetch.maxMs");
  });
});
