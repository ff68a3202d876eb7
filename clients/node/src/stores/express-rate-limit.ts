import { HitStore, type HitStoreOptions } from "./hits.js";

export { LimiterError, UnavailableError } from "../errors.js";

/** Options of {@link ExpressRateLimitStore}. */
export type ExpressRateLimitStoreOptions = HitStoreOptions;

/**
 * A store for express-rate-limit. While Redis is away its methods throw {@link UnavailableError} within `timeoutMs`, so
 * `passOnStoreError` decides.
 *
 * @example
 * app.use(rateLimit({ windowMs: 60_000, limit: 100, store: new ExpressRateLimitStore({ client }) }));
 */
export class ExpressRateLimitStore extends HitStore {}
