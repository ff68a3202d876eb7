import type { StatsD } from "hot-shots";
import type { Redis as IoRedis, Cluster as IoRedisCluster } from "ioredis";
import type { Redis as IoValkey, Cluster as IoValkeyCluster } from "iovalkey";
import type { createClient, createClientPool, createCluster, createSentinel } from "redis";
import { expectTypeOf, it } from "vitest";
import { dogstatsdMetrics } from "../src/dogstatsd.js";
import {
  type BoundLease,
  type BoundLimiter,
  createLimiter,
  type FixedWindow,
  fixedWindow,
  type Lease,
  type Limiter,
  lease,
  type Metrics,
  type RedisClient,
  type Refused,
  tokenBucket,
} from "../src/index.js";
import { prometheusMetrics } from "../src/prometheus.js";

// Checked by `npm run typecheck`; here so that a reader finds them.
it("types accept the real clients", () => {
  expectTypeOf<ReturnType<typeof createClient>>().toExtend<RedisClient>();
  expectTypeOf<ReturnType<typeof createClientPool>>().toExtend<RedisClient>();
  expectTypeOf<ReturnType<typeof createCluster>>().toExtend<RedisClient>();
  expectTypeOf<ReturnType<typeof createSentinel>>().toExtend<RedisClient>();
  expectTypeOf<IoRedis>().toExtend<RedisClient>();
  expectTypeOf<IoRedisCluster>().toExtend<RedisClient>();
  expectTypeOf<IoValkey>().toExtend<RedisClient>();
  expectTypeOf<IoValkeyCluster>().toExtend<RedisClient>();
});

it("types refuse what the module would", () => {
  () => {
    // @ts-expect-error: a bare number is no duration
    fixedWindow({ limit: 5, window: 60 });
    // @ts-expect-error: nor a number in a string
    fixedWindow({ limit: 5, window: "60" });
    // @ts-expect-error: months are for fixed windows
    tokenBucket({ capacity: 5, refill: 5, period: "1mo" });
    // @ts-expect-error: a lease is acquired, not consumed
    (({}) as Limiter).consume("u", lease({ limit: 5, ttl: "1m" }));
  };
});

it("types tell a lease from a refusal, and a bound lease from a bound limit", () => {
  async () => {
    const limiter = {} as Limiter;
    const jobs = limiter.for("jobs", lease({ limit: 5, ttl: "1m" }));
    expectTypeOf(jobs).toExtend<BoundLease>();
    const answer = await jobs.acquire("u");
    if (answer.allowed) {
      expectTypeOf(answer).toEqualTypeOf<Lease>();
      // As `await using` would have it.
      expectTypeOf<Lease>().toExtend<AsyncDisposable>();
    } else expectTypeOf(answer).toEqualTypeOf<Refused>();
    const api = limiter.for("api", fixedWindow({ limit: 5, window: "1m" }), { prefetch: { units: 5 } });
    expectTypeOf(api).toEqualTypeOf<BoundLimiter<FixedWindow>>();
    // @ts-expect-error: leases are not prefetched
    limiter.for("jobs", lease({ limit: 5, ttl: "1m" }), { prefetch: { units: 5 } });
    // @ts-expect-error: no such policy
    createLimiter({} as RedisClient, { onUnavailable: "fail" });
  };
});

it("types accept the real metrics libraries", () => {
  () => {
    expectTypeOf(dogstatsdMetrics({} as StatsD)).toEqualTypeOf<Metrics>();
    expectTypeOf(prometheusMetrics()).toEqualTypeOf<Metrics>();
  };
});
