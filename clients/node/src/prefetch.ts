import { LRUCache } from "lru-cache";
import { whole } from "./check.js";
import { type Core, charge, type Holder, unavailable } from "./core.js";
import { aged, type Decision } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError, UnavailableError } from "./errors.js";
import { hashKey, type Key } from "./keys.js";
import { type AnyLimit, type Limit, MAX_UNITS } from "./limits.js";
import { later, within } from "./within.js";
import { type Charge, type Place, stateField, stateKey } from "./words.js";

/**
 * For a key hotter than one server: `units` are charged at a time and served from memory. Each unit served was charged at
 * most `maxMs` before, so up to `units` × processes more may pass in a span of time. What is not served is given back, but
 * for a fixed window's near its end. Not for leaky buckets, leases and `consumeAll`; `partial`, `force` and costs of 0 or
 * less go to Redis as always. A `peek` counts the units that are held as used.
 */
export interface PrefetchOptions {
  /** Taken at a time: 1 to 10^12. Much less than the limit, else a few processes hold all of it. */
  readonly units: number;
  /** How long units are held at most, in ms: 1 to 3,600,000. Default 1000. */
  readonly maxMs?: number;
}

/** Keys that are held at a time; the least recently used one gives back. */
const MAX_KEYS = 10_000;

/** What a process has taken for a key. */
class Hold {
  readonly key: Key;
  units = 0;
  /** No unit is served from then on. */
  endsAt = 0;
  /** From then on a refund could fall into the next window. */
  returnableUntil = Number.POSITIVE_INFINITY;
  /** What Redis said last, and when it was asked. */
  decision: Decision | undefined;
  askedAt = 0;
  taking: Promise<Decision> | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(key: Key) {
    this.key = key;
  }
}

/** {@link PrefetchOptions} */
export class Prefetch implements Holder {
  readonly #core: Core;
  readonly #limit: Limit;
  readonly #units: number;
  readonly #maxMs: number;
  readonly #holds: LRUCache<string, Hold>;

  /** @throws {@link LimiterError} naming the option that is wrong */
  constructor(core: Core, limit: Limit, { units, maxMs = 1000 }: PrefetchOptions) {
    if (!["tokenBucket", "fixedWindow", "slidingCounter", "slidingLog"].includes(limit.algorithm)) {
      throw new LimiterError(`prefetch is not possible with ${shown(limit.algorithm)}`);
    }
    whole("prefetch.units", units, 1, MAX_UNITS);
    whole("prefetch.maxMs", maxMs, 1, 3_600_000);
    this.#core = core;
    this.#limit = limit;
    this.#units = units;
    this.#maxMs = maxMs;
    this.#holds = new LRUCache({
      max: MAX_KEYS,
      disposeAfter: (hold, _key, reason) => {
        if (reason === "evict") void this.#giveBack(hold);
      },
    });
  }

  /** Whether such a call may be served from what is held. */
  static serves({ cost = 1, mode }: Charge): boolean {
    return mode === undefined && Number.isInteger(cost) && cost > 0;
  }

  /** As the limiter's `consume`. */
  async consume(key: Key, what: Charge): Promise<Decision> {
    const place = this.#place(key);
    const decided = this.#core.report.start();
    const decision =
      this.#core.denials?.find(place, what) ??
      (await this.#decide(place, what).catch((error) =>
        this.#core.fallback.one(unavailable(error), { ...place, charge: what }),
      ));
    decided(() => this.#core.report.decision(decision, place));
    return decision;
  }

  /** Drops what is held for a key that was reset, with all limits of its hash or this one: it is no longer charged. */
  forget(key: Key, limit?: AnyLimit): void {
    const hold = this.#holds.peek(this.#id(key));
    if (!hold) return;
    const place = this.#place(key);
    const own = stateField(this.#limit);
    const isReset = limit
      ? stateKey({ ...place, limit }) === stateKey(place) && stateField(limit) === own
      : own !== undefined;
    if (isReset) this.#empty(hold);
  }

  /** Gives back what is held for a key that was blocked or has other numbers now. */
  letGo(key: Key): void {
    const hold = this.#holds.peek(this.#id(key));
    if (hold) void this.#giveBack(hold);
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    const holds = [...this.#holds.values()];
    await Promise.all(holds.map((hold) => hold.taking?.catch(() => {})));
    await Promise.all(holds.map((hold) => this.#giveBack(hold)));
  }

  async #decide(place: Place & { readonly limit: Limit }, what: Charge): Promise<Decision> {
    const { cost = 1 } = what;
    const deadline = performance.now() + this.#core.redis.timeoutMs;
    const left = () => Math.ceil(deadline - performance.now());
    for (;;) {
      const hold = this.#hold(place.key);
      const served = this.#serve(hold, cost);
      if (served) return served;
      if (left() <= 0) throw new UnavailableError("timeout", "no units were taken in time");
      const mine = hold.taking === undefined;
      hold.taking ??= this.#take(hold, place, Math.max(this.#units, cost), left()).finally(() => {
        hold.taking = undefined;
        if (hold.units === 0 && hold.timer === undefined) this.#empty(hold);
      });
      const taken = await within(left(), hold.taking);
      if (!taken) throw new UnavailableError("timeout", "no units were taken in time");
      const now = mine ? this.#serve(hold, cost) : undefined;
      if (now) return { ...now, source: "redis" };
      // Others were faster: once more.
      if (taken.granted >= this.#units || hold.units >= cost) continue;
      // Nothing is left. Of one unit that is the answer; of more, or of a limit that blocks, Redis gives the full one.
      if (cost === 1 && !place.limit.block) {
        if (taken.granted === 0) return taken;
        continue;
      }
      await within(left(), this.#giveBack(hold));
      if (left() <= 0) throw new UnavailableError("timeout", "no units were taken in time");
      return charge(this.#core, place, what, left());
    }
  }

  async #take(
    hold: Hold,
    place: Place & { readonly limit: Limit },
    units: number,
    ms: number,
  ): Promise<Decision> {
    const sentAt = performance.now();
    const taken = await charge(this.#core, place, { cost: units, mode: "partial" }, ms);
    if (taken.granted === 0) return taken;
    if (this.#expired(hold)) void this.#giveBack(hold);
    if (hold.units === 0) {
      clearTimeout(hold.timer);
      hold.timer = undefined;
      hold.endsAt = sentAt + this.#maxMs;
      hold.returnableUntil = Number.POSITIVE_INFINITY;
    }
    if (place.limit.algorithm === "fixedWindow") {
      // The server's window, from the earliest moment at which it can have answered.
      const windowEnd = sentAt + taken.resetAfterMs;
      hold.endsAt = Math.min(hold.endsAt, windowEnd);
      hold.returnableUntil = Math.min(hold.returnableUntil, windowEnd - this.#core.redis.timeoutMs);
    }
    hold.units += taken.granted;
    hold.decision = taken;
    hold.askedAt = sentAt;
    this.#holds.set(this.#id(hold.key), hold);
    this.#core.prefetches.add(this);
    hold.timer ??= later(Math.max(hold.endsAt - performance.now(), 0), () => void this.#giveBack(hold));
    return taken;
  }

  #serve(hold: Hold, cost: number): Decision | undefined {
    const { decision } = hold;
    if (!decision || hold.units < cost || this.#expired(hold)) return undefined;
    hold.units -= cost;
    return {
      ...aged(decision, performance.now() - hold.askedAt),
      allowed: true,
      granted: cost,
      remaining: decision.remaining + hold.units,
      retryAfterMs: 0,
      used: Math.max(decision.used - hold.units, 0),
      source: "cache",
    };
  }

  #expired(hold: Hold): boolean {
    return hold.units > 0 && performance.now() >= hold.endsAt;
  }

  /** Empties a hold and gives back what may still be: a failure leaves it charged. */
  async #giveBack(hold: Hold): Promise<void> {
    const { units, returnableUntil, key } = hold;
    this.#empty(hold);
    if (units === 0 || performance.now() >= returnableUntil) return;
    await charge(this.#core, this.#place(key), { cost: -units }).catch(() => {});
  }

  #empty(hold: Hold): void {
    clearTimeout(hold.timer);
    hold.timer = undefined;
    hold.units = 0;
    hold.decision = undefined;
    const id = this.#id(hold.key);
    if (!hold.taking && this.#holds.peek(id) === hold) this.#holds.delete(id);
    if (this.#holds.size === 0) this.#core.prefetches.delete(this);
  }

  #hold(key: Key): Hold {
    const id = this.#id(key);
    let hold = this.#holds.get(id);
    if (!hold) {
      hold = new Hold(key);
      this.#holds.set(id, hold);
      this.#core.prefetches.add(this);
    }
    return hold;
  }

  #id(key: Key): string {
    return hashKey("", key);
  }

  #place(key: Key): Place & { readonly limit: Limit } {
    return { prefix: this.#core.prefix, key, limit: this.#limit };
  }
}
