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
import { command, type Place, stateKey, together } from "../words.js";

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
