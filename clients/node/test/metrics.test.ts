import { StatsD } from "hot-shots";
import { Registry } from "prom-client";
import { afterEach, describe, expect, it, vi } from "vitest";
import { dogstatsdMetrics } from "../src/dogstatsd.js";
import {
  BreakerGauge,
  createLimiter,
  type Decision,
  type DecisionEvent,
  fixedWindow,
  slidingLog,
} from "../src/index.js";
import { prometheusMetrics } from "../src/prometheus.js";
import { allow, countingMetrics, fakeClient, refuse } from "./support/fakes.js";

const limit = fixedWindow({ limit: 5, window: "1m" });
const log = slidingLog({ limit: 5, window: "1m", name: "login" });

afterEach(() => {
  vi.restoreAllMocks();
});

describe("/prometheus", () => {
  it("counts calls, errors and breakers, of two limiters in one registry", async () => {
    const registry = new Registry();
    const replies = [allow(), refuse(), [...refuse(), 2], allow(), new Error("LOADING")];
    const client = fakeClient((_words, n) => replies[n - 1]);
    for (let i = 0; i < 2; i++) {
      const limiter = createLimiter(client, {
        metrics: prometheusMetrics({ registry }),
        breaker: { failures: 1, errorRate: 0.1 },
      });
      for (let n = 0; n < 3 - i; n++) await limiter.consume("u", limit);
    }
    const text = await registry.metrics();
    for (const line of [
      'rate_limit_requests_total{limiter="fixed-1m",outcome="allowed",source="redis"} 2',
      'rate_limit_requests_total{limiter="fixed-1m",outcome="refused",source="redis"} 1',
      'rate_limit_requests_total{limiter="fixed-1m",outcome="blocked",source="redis"} 1',
      'rate_limit_requests_total{limiter="fixed-1m",outcome="allowed",source="open"} 1',
      'rate_limit_redis_errors_total{limiter="fixed-1m",kind="loading"} 1',
      "rate_limit_breaker_state 1",
      'rate_limit_check_duration_seconds_bucket{le="0.0002"}',
      "rate_limit_check_duration_seconds_count 5",
    ]) {
      expect(text).toContain(line);
    }
    expect(text).not.toContain('"u"');
  });

  it("goes on where the registry was made by another copy of this package, or was cleared", async () => {
    const registry = new Registry();
    prometheusMetrics({ registry });
    vi.resetModules();
    const copy = await import("../src/prometheus.js");
    copy.prometheusMetrics({ registry }).duration(0.001);
    expect(await registry.metrics()).toContain("rate_limit_check_duration_seconds_count 1");
    registry.clear();
    prometheusMetrics({ registry }).duration(0.001);
    expect(await registry.metrics()).toContain("rate_limit_check_duration_seconds_count 1");
  });
});

describe("/dogstatsd", () => {
  it("sends the same", async () => {
    const client = new StatsD({ mock: true });
    const replies = [allow(), new Error("LOADING")];
    const limiter = createLimiter(
      fakeClient((_words, n) => replies[n - 1]),
      { metrics: dogstatsdMetrics(client), breaker: { failures: 1 } },
    );
    await limiter.consume("u", limit);
    await limiter.consume("u", limit);
    const sent = client.mockBuffer?.join("\n");
    expect(sent).toContain("rate_limit.requests_total:1|c|#limiter:fixed-1m,outcome:allowed,source:redis");
    expect(sent).toContain("rate_limit.redis_errors_total:1|c|#limiter:fixed-1m,kind:loading");
    expect(sent).toContain("rate_limit.breaker_state:1|g");
    expect(sent).toMatch(/rate_limit\.check_duration_seconds:[\d.e-]+\|h/);
  });
});

describe("measurements", () => {
  it("one figure stands for several breakers", () => {
    const gauge = new BreakerGauge();
    expect(gauge.change({ from: null, to: "closed" })).toBe(0);
    expect(gauge.change({ from: null, to: "closed" })).toBe(0);
    expect(gauge.change({ from: "closed", to: "open" })).toBe(1);
    expect(gauge.change({ from: "closed", to: "open" })).toBe(1);
    expect(gauge.change({ from: "open", to: "half-open" })).toBe(1);
    expect(gauge.change({ from: "open", to: null })).toBe(2);
    expect(gauge.change({ from: "half-open", to: "closed" })).toBe(0);
  });

  it("a call of several limits counts under each, one refused under those that refuse", async () => {
    const metrics = countingMetrics();
    const items = [
      { key: "u", limit },
      { key: "u", limit: log },
    ];
    const replies = [
      [1, 0, allow(), allow()],
      [0, 9, allow(), refuse()],
    ];
    const limiter = createLimiter(
      fakeClient((_words, n) => replies[n - 1]),
      { metrics },
    );
    await limiter.consumeAll(items);
    await limiter.consumeAll(items);
    expect(Object.fromEntries(metrics.counts)).toMatchObject({
      "request fixed-1m allowed redis": 1,
      "request login allowed redis": 1,
      "request login refused redis": 1,
      duration: 2,
    });
  });

  it("peeks, refunds and settlements are no requests", async () => {
    const metrics = countingMetrics();
    const client = fakeClient(([name]) => (name === "RL.PEEK" ? [1, 0, allow()] : allow()));
    const limiter = createLimiter(client, { metrics });
    await limiter.peek("u", limit);
    await limiter.refund("u", limit);
    await limiter.settle("u", limit, { reserved: 1, actual: 2 });
    expect([...metrics.counts.keys()]).toEqual(["breaker null closed"]);
  });

  it("onDecision has what a log needs, and no key in the clear unless it wants it", async () => {
    const seen: [Decision, DecisionEvent][] = [];
    const replies = [allow(), refuse(), [...refuse(), 1], [0, 5, 0, 1, 1, 1, 9], [0, 5, 0, 1, 1, 1, 10]];
    const limiter = createLimiter(
      fakeClient((_words, n) => replies[n - 1]),
      { onDecision: (decision, event) => seen.push([decision, event]) },
    );
    for (let i = 0; i < 3; i++) await limiter.consume("u", limit);
    for (let i = 0; i < 2; i++) await limiter.consume({ tag: "a", id: "b" }, limit, { mode: "force" });
    expect(seen.map(([, { severity }]) => severity)).toEqual([
      "info",
      "warning",
      "error",
      "warning",
      "error",
    ]);
    const [[decision, event]] = seen as [[Decision, DecisionEvent]];
    expect(decision.used).toBe(1);
    expect(event).toMatchObject({ key: "u", limit, name: "fixed-1m" });
    expect(event.keyHash).toMatch(/^[0-9a-f]{16}$/);
    expect(seen[3]![1].keyHash).not.toBe(event.keyHash);
  });

  it("what they throw fails no call", async () => {
    const warning = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const broken = () => {
      throw new Error("disk full");
    };
    const limiter = createLimiter(
      fakeClient(() => allow()),
      {
        metrics: { request: broken, duration: broken, redisError: broken, breaker: broken },
        onDecision: (async () => broken()) as () => void,
      },
    );
    for (let i = 0; i < 3; i++) expect((await limiter.consume("u", limit)).allowed).toBe(true);
    await new Promise(setImmediate);
    expect(warning).toHaveBeenCalledOnce();
    expect(() =>
      createLimiter(
        fakeClient(() => allow()),
        { onDecision: 1 as never },
      ),
    ).toThrow("onDecision");
  });
});
