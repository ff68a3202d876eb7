import { HitStore, type HitStoreOptions } from "./hits.js";

export { LimiterError, UnavailableError } from "../errors.js";

/** Options of {@link HonoRateLimitStore}. */
export type HonoRateLimitStoreOptions = HitStoreOptions;

/**
 * A store for hono-rate-limiter. While Redis is away its methods throw {@link UnavailableError} within `timeoutMs`, which
 * `app.onError` gets.
 *
 * @example
 * app.use(rateLimiter({ windowMs: 60_000, limit: 100, keyGenerator, store: new HonoRateLimitStore({ client }) }));
 */
export class HonoRateLimitStore extends HitStore {}
