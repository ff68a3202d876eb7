import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { type AnyLimit, unitsOf } from "./limits.js";
import type { Charge } from "./words.js";

/** What was decided. Times are milliseconds, rounded up: who waits as long as told is never early. */
export interface Decision {
  /** Whether the call may go on. With `partial`, whether at least one unit was granted. */
  readonly allowed: boolean;
  /** Units that this call charged: its cost, with `partial` what fitted, 0 where denied, asked or given back. */
  readonly granted: number;
  /** The limit or capacity in force, in units. */
  readonly limit: number;
  /** Units left after this call. */
  readonly remaining: number;
  /** Until the same call would be allowed; 0 where it is allowed, null where it never can be. */
  readonly retryAfterMs: number | null;
  /** A leaky bucket's: how long to wait before going on. Else 0. */
  readonly delayMs: number;
  /** Until the limit is as good as unused. */
  readonly resetAfterMs: number;
  /** Until `remaining` grows; 0 where nothing is used, null where it never does. */
  readonly nextAfterMs: number | null;
  /** Units that count after this call; above `limit` in debt, or after the limit was lowered. */
  readonly used: number;
  /** Who decided: Redis; what it said before (`denyCache`, `prefetch`); the fallback in memory; or, Redis being away, nobody (`open`, `closed`). */
  readonly source: Source;
  /** Of a limit with `block`: whether the caller was blocked `'already'`, or is `'now'`, by this denial. */
  readonly blocked: false | "already" | "now";
}

/** The same decision, `ms` later. */
export function aged<D extends Decision>(decision: D, ms: number): D {
  const after = (time: number | null) => (time === null ? null : Math.max(0, Math.ceil(time - ms)));
  return {
    ...decision,
    retryAfterMs: after(decision.retryAfterMs),
    resetAfterMs: Math.max(0, Math.ceil(decision.resetAfterMs - ms)),
    nextAfterMs: after(decision.nextAfterMs),
  };
}

/** {@link Decision.source} */
export type Source = "redis" | "cache" | "memory" | "open" | "closed";

/** What was decided about several limits at once. */
export interface AllDecision {
  /** Whether no limit denied. */
  readonly allowed: boolean;
  /** Until the same call would be allowed: the largest of the limits that deny; null where one never can. */
  readonly retryAfterMs: number | null;
  /** One a limit, in order; null where it was not asked, since one in another slot had denied. */
  readonly decisions: readonly (Decision | null)[];
  /** The first limit that denied: its place in the call. */
  readonly refusedBy: number | null;
  /** Whether all limits were decided at one instant; false where a cluster's slots had to be asked one by one. */
  readonly atomic: boolean;
}

/**
 * A decision from the seven or eight integers of a reply.
 *
 * @param charged - whether an allowed call was charged: not by RL.PEEK, nor by an RL.ALL that was denied
 * @throws {@link LimiterError} where the reply is none of the module's
 */
export function decisionFrom(reply: unknown, limit: AnyLimit, charge: Charge, charged = true): Decision {
  const ints = integers(reply, 7);
  const [first, inForce, remaining, retry, reset, next, used, blocked] = ints as Seven;
  const { cost = 1, mode } = charge;
  const allowed = first > 0;
  const fits = allowed || (mode === "force" && limit.algorithm !== "lease");
  const units = mode === "partial" && cost > 0 ? first : Math.max(cost, 0);
  return {
    allowed,
    granted: charged && fits ? units : 0,
    limit: inForce,
    remaining,
    retryAfterMs: allowed ? 0 : orNull(retry),
    delayMs: allowed && limit.algorithm === "leakyBucket" ? retry : 0,
    resetAfterMs: reset,
    nextAfterMs: orNull(next),
    used,
    source: "redis",
    blocked: blocked === 1 ? "already" : blocked === 2 ? "now" : false,
  };
}

/** The decisions of RL.ALL or RL.PEEK: `[allowed, retry_after_ms, [seven], …]`. */
export function allFrom(
  reply: unknown,
  items: readonly { readonly limit: AnyLimit; readonly charge: Charge }[],
  peek = false,
): AllDecision {
  if (!Array.isArray(reply) || reply.length < 2 + items.length) throw foreign(reply);
  const [first, retry] = integers(reply.slice(0, 2), 2) as [number, number];
  const allowed = first > 0;
  const decisions = items.map(({ limit, charge }, i) =>
    decisionFrom(reply[2 + i], limit, charge, allowed && !peek),
  );
  return {
    allowed,
    retryAfterMs: allowed ? 0 : orNull(retry),
    decisions,
    refusedBy: allowed ? null : firstRefusing(decisions, items),
    atomic: true,
  };
}

/** The decision where Redis is away and all shall pass. */
export function openDecision(limit: AnyLimit, { cost = 1 }: Charge = {}, peek = false): Decision {
  const units = unitsOf(limit);
  return {
    allowed: true,
    granted: peek ? 0 : Math.max(cost, 0),
    limit: units,
    remaining: units,
    retryAfterMs: 0,
    delayMs: 0,
    resetAfterMs: 0,
    nextAfterMs: 0,
    used: 0,
    source: "open",
    blocked: false,
  };
}

/** The decision where Redis is away and none shall pass, until it is asked again in `retryAfterMs`. */
export function closedDecision(limit: AnyLimit, retryAfterMs: number): Decision {
  return {
    allowed: false,
    granted: 0,
    limit: unitsOf(limit),
    remaining: 0,
    retryAfterMs,
    delayMs: 0,
    resetAfterMs: retryAfterMs,
    nextAfterMs: retryAfterMs,
    used: 0,
    source: "closed",
    blocked: false,
  };
}

/** Several decisions as one: for what was decided limit by limit. */
export function combine(
  decisions: readonly (Decision | null)[],
  items: readonly { readonly charge: Charge }[],
  atomic: boolean,
): AllDecision {
  const refusedBy = firstRefusing(decisions, items);
  const waits = decisions.flatMap((decision, i) =>
    decision && refuses(decision, items[i]?.charge) ? [decision.retryAfterMs] : [],
  );
  return {
    allowed: refusedBy === null,
    retryAfterMs: waits.reduce<number | null>(
      (most, ms) => (most === null || ms === null ? null : Math.max(most, ms)),
      0,
    ),
    decisions,
    refusedBy,
    atomic,
  };
}

type Seven = [number, number, number, number, number, number, number, number | undefined];

/** A forced charge never denies: its `allowed` tells whether it fitted. */
export function refuses(decision: Decision, charge: Charge | undefined): boolean {
  return !decision.allowed && !(charge?.mode === "force" && (charge.cost ?? 1) > 0);
}

function firstRefusing(
  decisions: readonly (Decision | null)[],
  items: readonly { readonly charge: Charge }[],
): number | null {
  const index = decisions.findIndex(
    (decision, i) => decision !== null && refuses(decision, items[i]?.charge),
  );
  return index < 0 ? null : index;
}

/** Numbers, whatever the client was told to make of integers: strings and bigints too. */
function integers(reply: unknown, least: number): number[] {
  if (!Array.isArray(reply) || reply.length < least) throw foreign(reply);
  return reply.map((item: unknown) => {
    const int =
      typeof item === "number" ? item : typeof item === "object" || item === "" ? Number.NaN : Number(item);
    if (!Number.isSafeInteger(int)) throw foreign(reply);
    return int;
  });
}

const orNull = (ms: number) => (ms < 0 ? null : ms);

const foreign = (reply: unknown) =>
  new LimiterError(`the reply is not the module's: ${shown(String(reply))}`);
