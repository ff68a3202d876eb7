import { BoundLease, BoundLimiter, type BoundOptions } from "./bound.js";
import { Breaker, type BreakerOptions } from "./breaker.js";
import { isObject, known } from "./check.js";
import type { RedisClient } from "./clients/index.js";
import { Connection } from "./connection.js";
import { ask, type Core, charge as chargeOne, forget, unavailable } from "./core.js";
import type { AllDecision, Decision } from "./decision.js";
import { DenyCache, type DenyCacheOptions } from "./deny-cache.js";
import type { Duration } from "./duration.js";
import { LimiterError } from "./errors.js";
import { checkPrefix, hashKey, type Key } from "./keys.js";
import { acquire, type Lease, type Refused } from "./leases.js";
import { type AnyLimit, checkName, type LeaseLimit, type Limit, units } from "./limits.js";
import type { Metrics } from "./metrics.js";
import { Prefetch } from "./prefetch.js";
import { block, clearOverride, type Override, override, resetLimit, unblock } from "./protection.js";
import { Regions, type RegionsOptions } from "./regions.js";
import { type OnDecision, Report } from "./report.js";
import { chargeAll, peekAll } from "./together.js";
import { Fallback, NEXT_PROBE_MS, type OnUnavailable } from "./unavailable.js";
import { type Charge, checkCharge, checkLimit, type Item, type Place } from "./words.js";

/** Options of {@link createLimiter}. */
export interface LimiterOptions {
  /** Stands before every key; no `{` or `}` in it. Default `'rl:'`. */
  readonly prefix?: string;
  /** How long a call waits for Redis at most, in ms: 1 to 2^31 − 1. Default 250. */
  readonly timeoutMs?: number;
  /** What `consume`, `consumeAll`, `peek`, `peekAll` and `acquire` answer while Redis is away. Default `'open'`. */
  readonly onUnavailable?: OnUnavailable;
  /** When Redis is given up for a while; `false` asks it each time. On by default: see {@link BreakerOptions}. */
  readonly breaker?: BreakerOptions | false;
  /** Repeats denials from memory; off unless given, `{}` for its defaults: see {@link DenyCacheOptions}. */
  readonly denyCache?: DenyCacheOptions;
  /** Other regions, which are told what was charged here: see {@link RegionsOptions}. */
  readonly regions?: RegionsOptions;
  /** Where measurements go: `prometheusMetrics()`, `dogstatsdMetrics(…)`, or one of your own. */
  readonly metrics?: Metrics;
  /** Told of every decision of `consume`, `consumeAll` and `acquire`: for logs. */
  readonly onDecision?: OnDecision;
}

const OPTIONS = Object.keys({
  prefix: true,
  timeoutMs: true,
  onUnavailable: true,
  breaker: true,
  denyCache: true,
  regions: true,
  metrics: true,
  onDecision: true,
} satisfies Record<keyof LimiterOptions, true>);

/** One limit of several in a call. */
export interface AllItem extends Charge {
  readonly key: Key;
  readonly limit: AnyLimit;
  /** A lease's holder: 1 to 128 bytes, unguessable, a new one for each holder. */
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
  readonly #core: Core;
  readonly #breaker: Breaker | undefined;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(client: RedisClient, options: LimiterOptions) {
    isObject("options", options, "{ timeoutMs: 250 }");
    known(options, OPTIONS, "createLimiter");
    const { prefix = "rl:", timeoutMs, onUnavailable = "open", breaker = {}, denyCache, regions } = options;
    checkPrefix("prefix", prefix);
    const report = new Report(options.metrics, options.onDecision);
    this.#breaker = breaker === false ? undefined : new Breaker(breaker, report.breaker);
    const redis = new Connection(client, timeoutMs, this.#breaker);
    checkPrefix("the client's keyPrefix", redis.keyPrefix);
    const nextProbeMs = () => this.#breaker?.nextProbeMs(redis.timeoutMs) ?? NEXT_PROBE_MS;
    this.#core = {
      redis,
      prefix: redis.keyPrefix + prefix,
      fallback: new Fallback(onUnavailable, nextProbeMs),
      report,
      denials: denyCache && new DenyCache(denyCache),
      regions: regions && new Regions(regions, { prefix, timeoutMs, breaker, report }),
      prefetches: new Set(),
    };
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
    checkCharge(charge);
    const { denials, report, fallback } = this.#core;
    const decided = report.start();
    const decision =
      denials?.find(place, charge) ??
      (await chargeOne(this.#core, place, charge).catch((error) =>
        fallback.one(unavailable(error), { ...place, charge }),
      ));
    decided(() => report.decision(decision, place));
    return decision;
  }

  /**
   * Charges several limits, all or none. Where one cluster slot holds them (limits of one key are in one), or there is no
   * cluster, at one instant. Else slot by slot, in order: a denial gives back what was charged before it, and leases that
   * were taken are released; `atomic` is then false, and `decisions` has null where nobody was asked. Refunds come last.
   */
  async consumeAll(items: readonly AllItem[]): Promise<AllDecision> {
    const all = this.#items(items);
    const { report } = this.#core;
    const decided = report.start();
    const decision = await chargeAll(this.#core, all);
    decided(() => report.all(decision, all));
    return decision;
  }

  /**
   * Tells what {@link consume} would answer, and charges nothing.
   *
   * @param charge.cost - whole units, 1 unless given; no mode
   */
  async peek(key: Key, limit: Limit, charge: Pick<Charge, "cost"> = {}): Promise<Decision> {
    checkCharge(charge);
    const { decisions } = await peekAll(this.#core, this.#items([{ key, limit, ...charge }]));
    return decisions[0] as Decision;
  }

  /** Tells what {@link consumeAll} would answer, and charges nothing. Several slots are asked side by side. */
  async peekAll(items: readonly Omit<AllItem, "mode">[]): Promise<AllDecision> {
    return peekAll(this.#core, this.#items(items));
  }

  /**
   * Gives units back, soon after they were charged: a later window's are taken otherwise.
   *
   * @param amount - whole units, 0 or more
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
   * Takes a place among the holders of a lease limit, until it is released or not renewed for its `ttl`.
   *
   * @param options.id - the holder, 1 to 128 bytes, unguessable; a random one unless given. That of a lease which is held
   *   (taken by {@link consumeAll}, or in another process) goes on with it, and renews it.
   * @returns the lease, or the decision that denied it
   * @example
   * const held = await limiter.acquire('exports:acme', lease({ limit: 5, ttl: '60s' }));
   * if (!held.allowed) return retryIn(held.retryAfterMs);
   * try { await run(); } finally { await held.release(); }
   */
  async acquire(
    key: Key,
    limit: LeaseLimit,
    options: { readonly id?: string } = {},
  ): Promise<Lease | Refused> {
    const { id = globalThis.crypto.randomUUID() } = options;
    return acquire(this.#core, this.#place(key, limit), id);
  }

  /**
   * Denies all calls of a caller for a while, whatever is left of the limit, which must have `block`.
   *
   * @param span - how long, such as `'5m'`
   * @throws {@link UnavailableError} where Redis is away
   */
  async block(key: Key, limit: Limit, span: Duration): Promise<void> {
    return block(this.#core, this.#place(key, limit), span);
  }

  /**
   * Ends a block, and forgets what was used of that limit, so that the next call does not block anew.
   *
   * @returns whether there was a block
   * @throws {@link UnavailableError} where Redis is away
   */
  async unblock(key: Key, limit: Limit): Promise<boolean> {
    return unblock(this.#core, this.#place(key, limit));
  }

  /**
   * Gives one caller other numbers at once, everywhere; the limit must have `override: true`.
   *
   * @throws {@link UnavailableError} where Redis is away
   * @example await limiter.override('user:7', limit, { limit: 50, for: '1h' });
   */
  async override(key: Key, limit: AnyLimit, numbers: Override): Promise<void> {
    return override(this.#core, this.#place(key, limit), numbers);
  }

  /**
   * Ends an {@link override}.
   *
   * @returns whether there was one
   * @throws {@link UnavailableError} where Redis is away
   */
  async clearOverride(key: Key, limit: AnyLimit): Promise<boolean> {
    return clearOverride(this.#core, this.#place(key, limit));
  }

  /**
   * Forgets what a caller has used: of all limits but logs and leases, or of `limit` alone.
   *
   * @returns whether there was anything
   * @throws {@link UnavailableError} where Redis is away
   */
  async reset(key: Key, limit?: AnyLimit): Promise<boolean> {
    if (limit) return resetLimit(this.#core, this.#place(key, limit));
    this.#check();
    const { prefix } = this.#core;
    const redisKey = hashKey(prefix, key);
    try {
      return Number(await ask(this.#core, ["DEL", redisKey], redisKey)) > 0;
    } finally {
      forget(this.#core, { prefix, key });
    }
  }

  /**
   * This limiter bound to a limit, which is called `name` unless it has a name of its own.
   *
   * @param name - 1 to 32 of `A-Z a-z 0-9 _ . -`, fixed: part of keys, headers and metrics
   */
  for<L extends Limit>(name: string, limit: L, options?: BoundOptions): BoundLimiter<L>;
  for<L extends LeaseLimit>(name: string, limit: L): BoundLease<L>;
  for<L extends AnyLimit>(name: string, limit: L, options: BoundOptions = {}): unknown {
    checkName("name", name);
    const named: AnyLimit = Object.freeze({ ...(limit as AnyLimit), name: limit.name ?? name });
    const { prefetch } = options;
    if (named.algorithm === "lease") {
      if (prefetch) throw new LimiterError("prefetch is not possible with a lease");
      return new BoundLease(this, named);
    }
    if (!prefetch) return new BoundLimiter(this, named);
    const ahead = new Prefetch(this.#core, named, prefetch);
    return new BoundLimiter(this, named, async (key, charge) => {
      this.#check();
      return ahead.consume(key, charge);
    });
  }

  /**
   * Ends the limiter, not the client: gives back what was prefetched, sends what other regions have not heard of, and stops
   * its timers: all within a few `timeoutMs`. Later calls are an error.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#core.prefetches].map((prefetch) => prefetch.close()));
    await this.#core.regions?.close();
    this.#core.denials?.clear();
    this.#core.fallback.memory?.clear();
    this.#breaker?.close();
  }

  async #charge(key: Key, limit: Limit, charge: Charge): Promise<Decision | false> {
    try {
      return await chargeOne(this.#core, this.#place(key, limit), charge);
    } catch (error) {
      unavailable(error);
      return false;
    }
  }

  #items(calls: readonly AllItem[]): Item[] {
    if (calls.length === 0) throw new LimiterError("at least one limit must be given");
    return calls.map((call): Item => {
      isObject("an item", call, "{ key, limit }");
      const { key, limit, id, ...charge } = call;
      if ("algorithm" in call) throw new LimiterError("write { key, limit } for each limit");
      known(charge, ["cost", "mode"], "an item besides key, limit and id");
      return { ...this.#place(key, limit), charge, id };
    });
  }

  #place<L extends AnyLimit>(key: Key, limit: L): Place & { readonly limit: L } {
    this.#check();
    checkLimit(limit);
    return { prefix: this.#core.prefix, key, limit };
  }

  #check(): void {
    if (this.#closed) throw new LimiterError("the limiter is closed");
  }
}
