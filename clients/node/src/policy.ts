import type { Decision } from "./decision.js";
import { canonical } from "./duration.js";
import { type AnyLimit, spanMsOf, unitsOf } from "./limits.js";
import type { Charge } from "./words.js";

/** A limit, what a call charged to it, and what was decided: what headers and problems are made of. */
export interface Decided extends Charge {
  readonly limit: AnyLimit;
  /** null where the limit was not asked, since another had denied the call. */
  readonly decision: Decision | null;
}

/** {@link Decided}, of a limit that was asked. */
export type Answered = Decided & { readonly decision: Decision };

/** Those that were asked. */
export const answered = (all: readonly Decided[]): Answered[] =>
  all.filter((one): one is Answered => one.decision !== null);

/** Whether this limit denies the call. A forced charge never does: its `allowed` tells whether it fitted. */
export function denies({ decision, mode, cost = 1 }: Answered): boolean {
  return !decision.allowed && !(mode === "force" && cost > 0);
}

/** The limit's name, or what it allows: `100-in-1m`. It stands in headers and problems. */
export function policyName(limit: AnyLimit): string {
  if (limit.name !== undefined) return limit.name;
  const span =
    "window" in limit && limit.window.endsWith("mo") ? limit.window : canonical(Math.max(1, spanMsOf(limit))); // A slow bucket may take longer to fill than a duration may be.
  return `${unitsOf(limit)}-in-${span}`;
}

/** Whole seconds, rounded up. */
export const secondsOf = (ms: number): number => whole(Math.ceil(ms / 1000));

/**
 * A number as headers may hold it: whole, from 0, of at most 15 digits, as a Structured Fields Integer. A decision of the
 * application's own may hold anything.
 */
export const whole = (value: number): number =>
  Math.min(Math.max(Math.trunc(value) || 0, 0), 999_999_999_999_999);
