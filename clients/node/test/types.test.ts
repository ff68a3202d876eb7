import type { Redis as IoRedis, Cluster as IoRedisCluster } from "ioredis";
import type { Redis as IoValkey, Cluster as IoValkeyCluster } from "iovalkey";
import type { createClient, createClientPool, createCluster, createSentinel } from "redis";
import { expectTypeOf, it } from "vitest";
import { fixedWindow, type Limiter, lease, type RedisClient, tokenBucket } from "../src/index.js";

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
