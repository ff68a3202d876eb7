import { BoundLimiter } from "./bound.js";
import type { RedisClient } from "./clients/index.js";
import { slotOf } from "./clients/slot.js";
import { Connection } from "./connection.js";
import { type AllDecision, allFrom, combine, type Decision, decisionFrom } from "./decision.js";
import { LimiterError, UnavailableError } from "./errors.js";
import { checkPrefix, hashKey, type Key } from "./keys.js";
import { type AnyLimit, checkName, type Limit, units } from "./limits.js";
import { checkOnUnavailable, decideWithout, type OnUnavailable } from "./unavailable.js";
import { type Charge, command, type Item, type Place, stateField, stateKey, together } from "./words.js";

/** Options of {@link createLimiter}. */
export interface LimiterOptions {
  /** Stands before every key; no `{` or `}` in it. Default `'rl:'`. */
  readonly prefix?: string;
  /** How long a call waits for Redis at most, in ms. Default 250. */
  readonly timeoutMs?: number;
  /** What `consume`, `consumeAll`, `peek`, `peekAll` and `acquire` answer while Redis is away. Default `'open'`. */
  readonly onUnavailable?: OnUnavailable;
}

/** One limit of several in a call. */
export interface AllItem extends Charge {
  readonly key: Key;
  readonly limit: AnyLimit;
  /** A lease's holder: 1 to 128 bytes, unguessable, one a holder. */
  readonly id?: string;
}

/**
 * A limiter on a connected Redis client.
 *
 * @throws {@link LimiterError} where an option is wrong
 * @example
 * const limiter = createLimiter(client);
 * const decision = await limiter.consume('user:7', fixedWindow({ limit: 100, window: '1m' }));
 */
export function createLimiter(client: RedisClient, options: LimiterOptions = {}): Limiter {
  return new Limiter(client, options);
}

/**
 * Decides calls. Its methods throw {@link LimiterError} for mistakes, and {@link UnavailableError} only where their own
 * text says so. Made by {@link createLimiter}.
 */
export class Limiter {
  readonly #connection: Connection;
  readonly #prefix: string;
  readonly #onUnavailable: OnUnavailable;

  /** @internal */
  constructor(client: RedisClient, { prefix = "rl:", timeoutMs, onUnavailable = "open" }: LimiterOptions) {
    this.#connection = new Connection(client, timeoutMs);
    checkPrefix("prefix", prefix);
    checkPrefix("the client's keyPrefix", this.#connection.keyPrefix);
    checkOnUnavailable(onUnavailable);
    this.#prefix = this.#connection.keyPrefix + prefix;
    this.#onUnavailable = onUnavailable;
  }

  /**
   * Charges a caller's limit, if the cost fits.
   *
   * @param key - who is limited, such as `user:7`
   * @param charge.cost - whole units, 1 unless given
   * @param charge.mode - `'force'` charges in any case, `'partial'` as much as fits
   */
  async consume(key: Key, limit: Limit, charge: Charge = {}): Promise<Decision> {
    const place = this.#place(key, limit);
    const words = command(place, charge);
    try {
      return decisionFrom(await this.#ask(words, place), limit, charge);
    } catch (error) {
      return decideWithout(this.#onUnavailable, unavailable(error), { ...charge, key, limit });
    }
  }

  /**
   * Charges several limits, all or none. They must be in one cluster slot: limits of one key are.
   */
  async consumeAll(items: readonly AllItem[]): Promise<AllDecision> {
    return this.#together("RL.ALL", items);
  }

  /**
   * Tells what {@link consume} would answer, and charges nothing.
   *
   * @param charge.cost - whole units, 1 unless given; no mode
   */
  async peek(key: Key, limit: Limit, charge: Pick<Charge, "cost"> = {}): Promise<Decision> {
    const item: AllItem = { key, limit, ...charge };
    const { decisions } = await this.#together("RL.PEEK", [item]);
    return decisions[0] as Decision;
  }

  /** Tells what {@link consumeAll} would answer, and charges nothing. */
  async peekAll(items: readonly Omit<AllItem, "mode">[]): Promise<AllDecision> {
    return this.#together("RL.PEEK", items);
  }

  /**
   * Gives units back, soon after they were charged: a later window's are taken otherwise.
   *
   * @param units - whole units, 0 or more
   * @returns false where Redis is away: they stay charged
   */
  async refund(key: Key, limit: Limit, amount = 1): Promise<Decision | false> {
    units("units", amount, 0);
    return this.#charge(key, limit, { cost: -amount });
  }

  /**
   * Settles what was reserved by {@link consume}, once the true cost is known: charges the rest, also beyond the limit, or
   * gives it back.
   *
   * @param usage.reserved - whole units that were charged
   * @param usage.actual - whole units that it came to
   * @returns false where Redis is away: the reservation stands
   */
  async settle(
    key: Key,
    limit: Limit,
    { reserved, actual }: { readonly reserved: number; readonly actual: number },
  ): Promise<Decision | false> {
    units("reserved", reserved, 0);
    units("actual", actual, 0);
    return this.#charge(key, limit, { cost: actual - reserved, mode: "force" });
  }

  /**
   * Forgets what a caller has used: of all limits but logs and leases, or of `limit` alone.
   *
   * @returns whether there was anything
   * @throws {@link UnavailableError} where Redis is away
   */
  async reset(key: Key, limit?: AnyLimit): Promise<boolean> {
    const redisKey = limit ? stateKey(this.#place(key, limit)) : hashKey(this.#prefix, key);
    const field = limit && stateField(limit);
    const words = field === undefined ? ["DEL", redisKey] : ["HDEL", redisKey, field];
    return Number(await this.#connection.ask(words, redisKey)) > 0;
  }

  /**
   * This limiter bound to a limit, which is called `name` unless it has a name of its own.
   *
   * @param name - 1 to 32 of `A-Z a-z 0-9 _ . -`, fixed: part of keys, headers and metrics
   */
  for<L extends Limit>(name: string, limit: L): BoundLimiter<L> {
    checkName("name", name);
    const named = { ...limit, name: limit.name ?? name };
    return new BoundLimiter<L>(this, Object.freeze(named) as L);
  }

  async #charge(key: Key, limit: Limit, charge: Charge): Promise<Decision | false> {
    const place = this.#place(key, limit);
    const words = command(place, charge);
    try {
      return decisionFrom(await this.#ask(words, place), limit, charge);
    } catch (error) {
      unavailable(error);
      return false;
    }
  }

  async #together(name: "RL.ALL" | "RL.PEEK", calls: readonly AllItem[]): Promise<AllDecision> {
    if (calls.length === 0) throw new LimiterError("at least one limit must be given");
    const items = calls.map(
      ({ key, limit, id, ...charge }): Item => ({ ...this.#place(key, limit), charge, id }),
    );
    const first = items[0] as Item;
    this.#checkSlots(items);
    const peek = name === "RL.PEEK";
    const words = together(name, items);
    try {
      return allFrom(await this.#ask(words, first, peek), items, peek);
    } catch (error) {
      const reason = unavailable(error);
      const decisions = calls.map((call) => decideWithout(this.#onUnavailable, reason, call));
      return combine(await Promise.all(decisions), items, true);
    }
  }

  #checkSlots(items: readonly Item[]): void {
    if (!this.#connection.cluster) return;
    const slots = new Set(items.map((item) => slotOf(stateKey(item))));
    if (slots.size > 1) throw new LimiterError("limits in several cluster slots are not possible yet");
  }

  #place<L extends AnyLimit>(key: Key, limit: L): Place & { readonly limit: L } {
    return { prefix: this.#prefix, key, limit };
  }

  #ask(words: string[], place: Place, readonly = false): Promise<unknown> {
    return this.#connection.ask(words, stateKey(place), { readonly });
  }
}

/** Passes on what a fallback may answer, and throws everything else. */
function unavailable(error: unknown): UnavailableError {
  if (error instanceof UnavailableError) return error;
  throw error;
}
