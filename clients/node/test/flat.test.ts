import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Registry } from "prom-client";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLimiter, fixedWindow, type LimiterOptions, tokenBucket } from "../src/index.js";
import { prometheusMetrics } from "../src/prometheus.js";
import { fakeClient } from "./support/fakes.js";
import { Server } from "./support/server.js";

// RL_TEST_LONG=1 makes it a million calls each, about a minute in all; else 50,000, about 15 s.
const CALLS = process.env.RL_TEST_LONG ? 1_000_000 : 50_000;
const AT_ONCE = 100;
/** A heap that is flat goes up and down by some 3 MB; a million calls that leave a small object each are 30 MB. */
const GROWTH_BYTES = 10e6;

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

const limit = fixedWindow({ limit: 1000, window: "1h" });
const options = (): LimiterOptions => ({
  timeoutMs: 5000,
  onUnavailable: { memory: { max: 1000 } },
  denyCache: { max: 1000 },
  metrics: prometheusMetrics({ registry: new Registry() }),
  onDecision: () => {},
});

async function heapAfter(calls: number, call: (n: number) => Promise<unknown>): Promise<number> {
  let n = 0;
  const worker = async () => {
    while (n < calls) await call(n++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await new Promise((resolve) => setTimeout(resolve, 50));
  gc();
  gc();
  return process.memoryUsage().heapUsed;
}

/** The first tenth fills caches; the rest may add nothing. */
async function growth(call: (n: number) => Promise<unknown>): Promise<number> {
  const before = await heapAfter(CALLS / 10, call);
  return (await heapAfter(CALLS, call)) - before;
}

describe(`memory is flat over ${CALLS} calls`, () => {
  let server: Server;
  beforeAll(async () => {
    server = await Server.start();
  });
  afterAll(() => server?.stop());

  it("that Redis decides, and refuses", { timeout: 600_000 }, async () => {
    const client = createClient({ url: server.url });
    await client.connect();
    const limiter = createLimiter(client, options());
    expect(await growth((n) => limiter.consume(`user:${n % 100}`, limit))).toBeLessThan(GROWTH_BYTES);
    await limiter.close();
    client.destroy();
  });

  it("of as many callers, Redis being away", { timeout: 600_000 }, async () => {
    const client = fakeClient(() => new Error("LOADING"));
    const limiter = createLimiter(client, options());
    expect(await growth((n) => limiter.consume(`user:${n}`, limit))).toBeLessThan(GROWTH_BYTES);
    await limiter.close();
  });

  it("that are served ahead, and told to a region that hangs", { timeout: 600_000 }, async () => {
    const near = createClient({ url: server.url });
    await near.connect();
    const regions = { others: [{ send: () => new Promise<never>(() => {}) }], max: 100, maxAgeMs: 100 };
    const limiter = createLimiter(near, { ...options(), regions });
    const bucket = tokenBucket({ capacity: 1e9, refill: 1, period: "1h" });
    const hot = limiter.for("hot", bucket, { prefetch: { units: 100, maxMs: 100 } });
    expect(await growth((n) => hot.consume(`user:${n % 1000}`))).toBeLessThan(GROWTH_BYTES);
    await limiter.close();
    near.destroy();
  });
});
