export type { BoundLease, BoundLimiter, BoundOptions } from "./bound.js";
export type { BreakerOptions, BreakerState } from "./breaker.js";
export type {
  CustomClient,
  IoRedisClient,
  IoRedisCluster,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  RedisClient,
  SendOptions,
} from "./clients/index.js";
export type { AllDecision, Decision, Source } from "./decision.js";
export type { DenyCacheOptions } from "./deny-cache.js";
export type { Duration, Months } from "./duration.js";
export { type EnvOptions, fromEnv } from "./env.js";
export { LimiterError, UnavailableError, type UnavailableKind } from "./errors.js";
export type { MemoryFallbackOptions } from "./fallback.js";
export { type HeaderFormat, type HeaderOptions, rateLimitHeaders } from "./headers.js";
export { apiKey, type Identifiable, type IdentifyOptions, identify } from "./identify.js";
export type { Key } from "./keys.js";
export type { Lease, Refused } from "./leases.js";
export { type AllItem, createLimiter, type Limiter, type LimiterOptions } from "./limiter.js";
export {
  type AnyLimit,
  type FixedWindow,
  fixedWindow,
  type LeakyBucket,
  type LeaseLimit,
  type Limit,
  type LimitOptions,
  leakyBucket,
  lease,
  type SlidingCounter,
  type SlidingLog,
  slidingCounter,
  slidingLog,
  type TokenBucket,
  tokenBucket,
} from "./limits.js";
export { BreakerGauge, DURATION_BUCKETS, type Metrics } from "./metrics.js";
export type { Decided } from "./policy.js";
export type { PrefetchOptions } from "./prefetch.js";
export { type Problem, problem } from "./problem.js";
export type { Override } from "./protection.js";
export type { RegionsOptions } from "./regions.js";
export type { DecisionEvent, OnDecision } from "./report.js";
export type { OnUnavailable, UnansweredCall } from "./unavailable.js";
export type { Charge, Mode } from "./words.js";
