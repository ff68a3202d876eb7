import type { RedisClient } from "../clients/index.js";
import { Connection } from "../connection.js";
import { allFrom, type Decision, decisionFrom } from "../decision.js";
import { type Duration, shown } from "../duration.js";
import { LimiterError } from "../errors.js";
import { checkPrefix, type Key } from "../keys.js";
import {
  type FixedWindow,
  fixedWindow,
  type Limit,
  MAX_UNITS,
  type SlidingCounter,
  slidingCounter,
} from "../limits.js";
import { command, type Place, stateField, stateKey, together } from "../words.js";

/** What every drop-in store takes. */
export interface StoreOptions {
  /** A connected client: node-redis, ioredis, iovalkey, or an object with `send()`. */
  readonly client: RedisClient;
  /** Stands before every key; no `{` or `}` in it. One for each limiter of your application. Default `'rl:'`. */
  readonly prefix?: string;
  /** How long a call waits for Redis at most, in ms; then it throws. Default 250. */
  readonly timeoutMs?: number;
}

/** The way from a store to Redis, and the prefix of its keys. */
export class StoreConnection {
  readonly prefix: string;
  readonly #connection: Connection;
  /** Of the keys as Redis sees them, the client's own prefix included. */
  readonly #before: string;

  constructor({ client, prefix = "rl:", timeoutMs }: StoreOptions) {
    this.#connection = new Connection(client, timeoutMs);
    checkPrefix("prefix", prefix);
    checkPrefix("the client's keyPrefix", this.#connection.keyPrefix);
    this.prefix = prefix;
    this.#before = this.#connection.keyPrefix + prefix;
  }

  /** Where a caller's count is kept: `rl:{caller}`, or `rl:<within>{caller}`. */
  place<L extends Limit>(key: Key, limit: L, within = ""): Place & { readonly limit: L } {
    // These middlewares count callers without a name as one; a tag must not be empty.
    return { prefix: this.#before + within, key: key || "(empty)", limit };
  }

  /** Charges, and answers what the module says. */
  async charge(place: Place & { readonly limit: Limit }, cost = 1): Promise<Decision> {
    const reply = await this.ask(command(place, { cost }), place);
    return decisionFrom(reply, place.limit, { cost });
  }

  /** Asks without a charge. A replica may answer, where the client reads from replicas. */
  async peek(place: Place & { readonly limit: Limit }): Promise<Decision> {
    const items = [{ ...place, charge: {} }];
    const reply = await this.#connection.ask(together("RL.PEEK", items), stateKey(place), { readonly: true });
    return allFrom(reply, items, true).decisions[0] as Decision;
  }

  /** Sends a command on the key of a caller's count. */
  ask(words: string[], place: Place): Promise<unknown> {
    return this.#connection.ask(words, stateKey(place));
  }
}

/** A window that counts without a limit: where the middleware compares by itself. */
export function uncappedWindow(
  argument: string,
  windowMs: unknown,
  algorithm: "fixed" | "slidingCounter" = "fixed",
): FixedWindow | SlidingCounter {
  const window = milliseconds(argument, windowMs);
  return (algorithm === "fixed" ? fixedWindow : slidingCounter)({ limit: MAX_UNITS, window });
}

/** Milliseconds as a number, for the module. */
export function milliseconds(argument: string, ms: unknown): Duration {
  if (typeof ms !== "number" || !Number.isInteger(ms) || ms < 1) {
    throw new LimiterError(`${argument} must be whole milliseconds, 1 or more, not ${shown(ms)}`);
  }
  return `${ms}ms`;
}

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
