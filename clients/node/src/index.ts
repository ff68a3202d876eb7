export type { BoundLimiter } from "./bound.js";
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
export type { Duration, Months } from "./duration.js";
export { LimiterError, UnavailableError, type UnavailableKind } from "./errors.js";
export { type HeaderFormat, type HeaderOptions, rateLimitHeaders } from "./headers.js";
export { apiKey, type Identifiable, type IdentifyOptions, identify } from "./identify.js";
export type { Key } from "./keys.js";
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
export type { Decided } from "./policy.js";
export { type Problem, problem } from "./problem.js";
export type { OnUnavailable, UnansweredCall } from "./unavailable.js";
export type { Charge, Mode } from "./words.js";
