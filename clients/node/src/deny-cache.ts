import { LRUCache } from "lru-cache";
import { whole } from "./check.js";
import { type AllDecision, aged, type Decision } from "./decision.js";
import { hashKey } from "./keys.js";
import { type Charge, type Item, nameOf, type Place, spec } from "./words.js";

/**
 * Denials that are repeated from memory, so that an attack costs Redis next to nothing. A denial lasts until its
 * `retryAfterMs`, at most `maxMs`, for that key, limit and cost or more: never for `'force'`, a cost of 0 or less, peeks and
 * leases. What this process resets, refunds, unblocks or overrides is forgotten; what another one does so is noticed after
 * `maxMs` at the latest.
 */
export interface DenyCacheOptions {
  /** How long a denial is repeated at most, in ms: 1 to 3,600,000. Default 1000. */
  readonly maxMs?: number;
  /** Callers that are remembered, the least recently denied go first: 1 to 10,000,000. Default 10,000. */
  readonly max?: number;
}

interface Refusal<D> {
  readonly cost: number;
  readonly at: number;
  readonly until: number;
  readonly decision: D;
}

/** One caller's denials, by limit, or by all limits of a call. */
type Refusals = Map<string, Refusal<Decision | AllDecision>>;

/** Limits of one caller that are remembered: there are few, unless somebody makes one up at each call. */
const MAX_LIMITS = 16;

/** {@link DenyCacheOptions} */
export class DenyCache {
  /**
   * Grows with each {@link forget}. Who asks Redis notes it first: a denial from before is not remembered after.
   */
  epoch = 0;
  readonly #maxMs: number;
  readonly #callers: LRUCache<string, Refusals>;

  /** @throws {@link LimiterError} naming the option that is wrong */
  constructor({ maxMs = 1000, max = 10_000 }: DenyCacheOptions = {}) {
    whole("denyCache.maxMs", maxMs, 1, 3_600_000);
    whole("denyCache.max", max, 1, 10_000_000);
    this.#maxMs = maxMs;
    this.#callers = new LRUCache({ max });
  }

  /** A denial that still holds for this call. */
  find(place: Place, charge: Charge): Decision | undefined {
    const cost = costOf(charge);
    if (cost === undefined) return undefined;
    const found = this.#live<Decision>(place, idOf(place), cost);
    return found && { ...aged(found.decision, performance.now() - found.at), ...repeated(found.decision) };
  }

  /** Remembers a denial of Redis. */
  keep(place: Place, charge: Charge, decision: Decision, epoch: number): void {
    const cost = costOf(charge);
    if (cost === undefined || decision.allowed || place.limit.algorithm === "lease") return;
    this.#keep(place, idOf(place), cost, decision.retryAfterMs, decision, epoch);
  }

  /** A denial of the very same call of several limits. */
  findAll(items: readonly Item[]): AllDecision | undefined {
    if (this.#callers.size === 0) return undefined;
    const id = callId(items);
    for (const item of items) {
      const found = this.#live<AllDecision>(item, id, 0);
      if (found) return agedAll(found.decision, performance.now() - found.at);
    }
    return undefined;
  }

  /** Remembers it with the caller whose limit denied first, for as long as that limit does. */
  keepAll(items: readonly Item[], all: AllDecision, epoch: number): void {
    const refusing = items[all.refusedBy ?? -1];
    const decision = all.decisions[all.refusedBy ?? -1];
    if (!refusing || decision?.source !== "redis" || refusing.limit.algorithm === "lease") return;
    if (costOf(refusing.charge) === undefined) return;
    this.#keep(refusing, callId(items), 0, decision.retryAfterMs, all, epoch);
  }

  /** Forgets a caller's denials. */
  forget(place: Pick<Place, "prefix" | "key">): void {
    this.epoch++;
    this.#callers.delete(hashKey(place.prefix, place.key));
  }

  clear(): void {
    this.epoch++;
    this.#callers.clear();
  }

  #live<D>(place: Place, id: string, cost: number): Refusal<D> | undefined {
    const refusals = this.#callers.get(hashKey(place.prefix, place.key));
    const found = refusals?.get(id) as Refusal<D> | undefined;
    if (!refusals || !found || found.cost > cost) return undefined;
    if (found.until > performance.now()) return found;
    refusals.delete(id);
    return undefined;
  }

  #keep<D extends Decision | AllDecision>(
    place: Place,
    id: string,
    cost: number,
    retryAfterMs: number | null,
    decision: D,
    epoch: number,
  ): void {
    if (epoch !== this.epoch) return;
    const at = performance.now();
    const until = at + Math.min(retryAfterMs ?? this.#maxMs, this.#maxMs);
    if (until <= at || this.#live(place, id, cost)) return;
    const caller = hashKey(place.prefix, place.key);
    const refusals: Refusals = this.#callers.get(caller) ?? new Map();
    refusals.delete(id);
    refusals.set(id, { cost, at, until, decision });
    const [oldest] = refusals.keys();
    if (refusals.size > MAX_LIMITS && oldest !== undefined) refusals.delete(oldest);
    this.#callers.set(caller, refusals);
  }
}

/** What must fit for the call to be allowed; undefined where it charges nothing, is never denied for good, or is wrong. */
function costOf({ cost = 1, mode }: Charge): number | undefined {
  if (!Number.isInteger(cost) || cost <= 0) return undefined;
  return mode === undefined ? cost : mode === "partial" ? 1 : undefined;
}

/** A limit with its numbers: another number is another question. */
const idOf = (place: Place) => `${nameOf(place.limit)} ${spec(place, {}, "").join(" ")}`;

const callId = (items: readonly Item[]) =>
  items
    .map(
      (item) =>
        `${hashKey(item.prefix, item.key)} ${nameOf(item.limit)} ${spec(item, item.charge, "").join(" ")}`,
    )
    .join("\n");

const repeated = (decision: Decision) =>
  ({ source: "cache", blocked: decision.blocked ? "already" : false }) as const;

function agedAll(all: AllDecision, ms: number): AllDecision {
  return {
    ...all,
    retryAfterMs: all.retryAfterMs === null ? null : Math.max(1, Math.ceil(all.retryAfterMs - ms)),
    decisions: all.decisions.map((decision) => decision && { ...aged(decision, ms), ...repeated(decision) }),
  };
}
