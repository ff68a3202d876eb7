import { LRUCache } from "lru-cache";
import { whole } from "./check.js";
import { type Decision, refuses } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { type AnyLimit, type LeaseLimit, spanMsOf, unitsOf } from "./limits.js";
import { type Charge, type Item, type Mode, type Place, stateField, stateKey } from "./words.js";

/** The fallback in memory: how much of a limit this process may allow by itself. */
export interface MemoryFallbackOptions {
  /**
   * This process' part of every limit, above 0 to 1; at least 1 unit. Of `n` processes `1/n` holds the limit between them.
   * Default 1/4.
   */
  readonly share?: number;
  /** Keys that are remembered, the least recently used go first: a whole number, 1 to 10,000,000. Default 10,000. */
  readonly max?: number;
}

interface Window {
  used: number;
  readonly end: number;
}

/** The holders of a lease: an id and when it ends. */
type Holders = Map<string, number>;

/**
 * Limits held by this process alone while Redis is away: a fixed window each, whatever the algorithm, as long as the limit's
 * window (of a bucket: from empty to full). What is denied is not charged.
 */
export class MemoryFallback {
  readonly #share: number;
  readonly #max: number;
  readonly #windows: LRUCache<string, Window>;
  readonly #holders: LRUCache<string, Holders>;

  /** @throws {@link LimiterError} naming the option that is wrong */
  constructor({ share = 1 / 4, max = 10_000 }: MemoryFallbackOptions = {}) {
    if (typeof share !== "number" || !(share > 0 && share <= 1)) {
      throw new LimiterError(`memory.share must be above 0, at most 1, not ${shown(share)}`);
    }
    whole("memory.max", max, 1, 10_000_000);
    this.#share = share;
    this.#max = max;
    this.#windows = new LRUCache({ max });
    // Bounded by all holders together.
    this.#holders = new LRUCache({ maxSize: max, sizeCalculation: (holders) => Math.max(holders.size, 1) });
  }

  /** Decides one call, and charges it where it fits, unless it is a peek. */
  decide(item: Item, peek = false): Decision {
    const { limit } = item;
    return limit.algorithm === "lease"
      ? this.#lease({ ...item, limit }, item.id ?? "", peek)
      : this.#window(item, item.charge, peek);
  }

  /** Decides several, all or none. */
  decideAll(items: readonly Item[], peek = false): Decision[] {
    const looks = items.map((item) => this.decide(item, true));
    const denied = looks.some((decision, i) => refuses(decision, items[i]?.charge));
    return peek || denied ? looks : items.map((item) => this.decide(item));
  }

  /** Lets a holder go on for another `ttl`, if it still holds. */
  renew(place: Place & { readonly limit: LeaseLimit }, id: string): boolean {
    const holders = this.#holders.get(stateKey(place));
    const end = holders?.get(id);
    if (!holders || end === undefined || end <= performance.now()) return false;
    holders.set(id, performance.now() + spanMsOf(place.limit));
    return true;
  }

  /** Lets a holder go. */
  release(place: Place, id: string): boolean {
    const key = stateKey(place);
    const holders = this.#holders.get(key);
    const end = holders?.get(id);
    if (!holders || end === undefined) return false;
    holders.delete(id);
    this.#keep(key, holders);
    return end > performance.now();
  }

  /** Keys and holders that are remembered. */
  get size(): number {
    return this.#windows.size + this.#holders.calculatedSize;
  }

  /** Forgets everything. */
  clear(): void {
    this.#windows.clear();
    this.#holders.clear();
  }

  #limitOf(limit: AnyLimit): number {
    const whole = unitsOf(limit);
    return whole === 0 ? 0 : Math.max(1, Math.floor(whole * this.#share));
  }

  #window(place: Place, { cost = 1, mode }: Charge, peek: boolean): Decision {
    const now = performance.now();
    const limit = this.#limitOf(place.limit);
    const key = `${stateKey(place)}\0${stateField(place.limit) ?? ""}`;
    const found = this.#windows.get(key);
    const open = found && found.end > now ? found : undefined;
    const before = open?.used ?? 0;
    const end = open?.end ?? now + spanMsOf(place.limit);
    const left = Math.max(limit - before, 0);
    const forced = mode === "force" && cost > 0;
    const wanted = mode === "partial" && cost > 0 ? Math.min(cost, left) : cost;
    const fits = cost < 0 || (wanted < cost ? wanted > 0 : before + cost <= limit);
    const granted = !peek && (fits || forced) ? wanted : 0;
    const used = Math.max(before + granted, 0);
    if (granted !== 0) {
      if (used === 0) this.#windows.delete(key);
      else if (open) open.used = used;
      else this.#windows.set(key, { used, end });
    }
    const wait = Math.ceil(end - now);
    return {
      allowed: fits,
      granted: Math.max(granted, 0),
      limit,
      remaining: Math.max(limit - used, 0),
      retryAfterMs: fits ? 0 : neverFits(place.limit, cost, mode) ? null : wait,
      delayMs: 0,
      resetAfterMs: used === 0 ? 0 : wait,
      nextAfterMs: limit === 0 ? null : used === 0 ? 0 : wait,
      used,
      source: "memory",
      blocked: false,
    };
  }

  #lease(place: Place & { readonly limit: LeaseLimit }, id: string, peek: boolean): Decision {
    const now = performance.now();
    const limit = Math.min(this.#limitOf(place.limit), this.#max);
    const key = stateKey(place);
    const holders: Holders = this.#holders.get(key) ?? new Map();
    for (const [holder, end] of holders) if (end <= now) holders.delete(holder);
    const allowed = holders.has(id) || holders.size < limit;
    if (allowed && !peek) {
      holders.set(id, now + spanMsOf(place.limit));
      this.#keep(key, holders);
    }
    let [first, last] = [Number.POSITIVE_INFINITY, now];
    for (const end of holders.values()) [first, last] = [Math.min(first, end), Math.max(last, end)];
    const next = holders.size === 0 ? 0 : Math.ceil(first - now);
    return {
      allowed,
      granted: allowed && !peek ? 1 : 0,
      limit,
      remaining: Math.max(limit - holders.size, 0),
      retryAfterMs: allowed ? 0 : limit === 0 ? null : next,
      delayMs: 0,
      resetAfterMs: Math.ceil(last - now),
      nextAfterMs: limit === 0 ? null : next,
      used: holders.size,
      source: "memory",
      blocked: false,
    };
  }

  /** Anew, so that its size is counted anew. */
  #keep(key: string, holders: Holders): void {
    this.#holders.delete(key);
    if (holders.size > 0) this.#holders.set(key, holders);
  }
}

/** Judged by the whole limit: what is too much for this process' share may pass once Redis is back. */
function neverFits(limit: AnyLimit, cost: number, mode: Mode | undefined): boolean {
  return (mode === "partial" ? 1 : cost) > unitsOf(limit);
}
