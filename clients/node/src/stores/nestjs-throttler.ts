import { fixedWindow } from "../limits.js";
import { milliseconds, StoreConnection, type StoreOptions } from "./connection.js";

export { LimiterError, UnavailableError } from "../errors.js";

/** Options of {@link NestThrottlerStorage}. */
export type NestThrottlerStorageOptions = StoreOptions;

/** What \@nestjs/throttler is told of a call. Times are whole seconds, rounded up. */
export interface ThrottlerRecord {
  totalHits: number;
  timeToExpire: number;
  isBlocked: boolean;
  timeToBlockExpire: number;
}

/**
 * A storage for \@nestjs/throttler: fixed windows, and a block of `blockDuration` by the call that is denied. Denied calls
 * are not counted, as in the throttler's own storage. While Redis is away it throws {@link UnavailableError} within
 * `timeoutMs`.
 *
 * @example
 * ThrottlerModule.forRoot({ throttlers: [{ ttl: 60_000, limit: 100 }], storage: new NestThrottlerStorage({ client }) })
 */
export class NestThrottlerStorage {
  readonly #connection: StoreConnection;

  /** @throws LimiterError where an option is wrong */
  constructor(options: NestThrottlerStorageOptions) {
    this.#connection = new StoreConnection(options);
  }

  /**
   * @param key - the guard's hash of handler, throttler and caller
   * @param ttl - the window, in ms
   * @param blockDuration - in ms; 0 denies until the window ends
   */
  async increment(
    key: string,
    ttl: number,
    limit: number,
    blockDuration: number,
    throttlerName: string,
  ): Promise<ThrottlerRecord> {
    const window = fixedWindow({
      limit,
      window: milliseconds("ttl", ttl),
      ...(blockDuration > 0 && { block: { for: milliseconds("blockDuration", blockDuration) } }),
    });
    // A generateKey of one's own may leave the throttler's name out of the key.
    const place = this.#connection.place({ tag: key, id: `:${throttlerName}` }, window);
    const { allowed, used, resetAfterMs, retryAfterMs } = await this.#connection.charge(place);
    return {
      totalHits: allowed ? used : limit + 1,
      timeToExpire: seconds(resetAfterMs),
      isBlocked: !allowed,
      // A limit of 0 is never allowed: then the window is as good a time as any.
      timeToBlockExpire: allowed ? 0 : seconds(retryAfterMs ?? ttl),
    };
  }
}

const seconds = (ms: number) => Math.ceil(ms / 1000);
