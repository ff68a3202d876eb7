import type { Decision } from "../decision.js";
import { shown } from "../duration.js";
import { LimiterError } from "../errors.js";
import type { Limit } from "../limits.js";
import { type Place, stateField, stateKey } from "../words.js";
import { StoreConnection, type StoreOptions, uncappedWindow } from "./connection.js";

/** How often a caller was seen, and when it is forgotten: as express-rate-limit and hono-rate-limiter name it. */
export interface Hits {
  totalHits: number;
  resetTime: Date;
}

/** {@link HitStore} */
export interface HitStoreOptions extends StoreOptions {
  /**
   * `'fixed'` counts in windows that open at a caller's first call, as its peers do. `'slidingCounter'` estimates the
   * last window: no double burst at a window's edge, but a caller that never stops calling stays denied. Default
   * `'fixed'`.
   */
  readonly algorithm?: "fixed" | "slidingCounter";
}

/**
 * Counts for a middleware that compares by itself and never tells the limit. So denied calls count too, as in the
 * middleware's own stores.
 */
export class HitStore {
  /** Other processes count on the same keys. */
  readonly localKeys = false;
  /** What stands before every key. */
  readonly prefix: string;
  readonly #connection: StoreConnection;
  readonly #algorithm: "fixed" | "slidingCounter";
  #limit: Limit | undefined;

  /** @throws LimiterError where an option is wrong */
  constructor({ algorithm = "fixed", ...options }: HitStoreOptions) {
    if (algorithm !== "fixed" && algorithm !== "slidingCounter") {
      throw new LimiterError(`algorithm must be 'fixed' or 'slidingCounter', not ${shown(algorithm)}`);
    }
    this.#connection = new StoreConnection(options);
    this.#algorithm = algorithm;
    this.prefix = this.#connection.prefix;
  }

  /** The middleware calls it once, with its options. */
  init({ windowMs }: { readonly windowMs: number }): void {
    this.#limit = uncappedWindow("windowMs", windowMs, this.#algorithm);
  }

  /** Counts a call. */
  async increment(key: string): Promise<Hits> {
    return hits(await this.#connection.charge(this.#place(key)));
  }

  /** Takes a call back, in the present window. A caller that has none gets none below zero. */
  async decrement(key: string): Promise<void> {
    await this.#connection.charge(this.#place(key), -1);
  }

  /** What is counted; undefined where nothing is. */
  async get(key: string): Promise<Hits | undefined> {
    const decision = await this.#connection.peek(this.#place(key));
    return decision.used === 0 ? undefined : hits(decision);
  }

  /** Forgets a caller. */
  async resetKey(key: string): Promise<void> {
    const place = this.#place(key);
    // The field alone: other limits may share the hash.
    await this.#connection.ask(["HDEL", stateKey(place), stateField(place.limit) as string], place);
  }

  #place(key: string): Place & { readonly limit: Limit } {
    if (!this.#limit) {
      throw new LimiterError("the store has no window: give it to the middleware, with a valid windowMs");
    }
    return this.#connection.place(key, this.#limit);
  }
}

/** The time left is the server's, so a clock of this process that is wrong shifts `resetTime`, never the window. */
function hits({ used, resetAfterMs }: Decision): Hits {
  return { totalHits: used, resetTime: new Date(Date.now() + resetAfterMs) };
}
