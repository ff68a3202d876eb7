import { closedDecision, type Decision, openDecision } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError, type UnavailableError } from "./errors.js";
import type { Key } from "./keys.js";
import type { AnyLimit } from "./limits.js";
import type { Charge } from "./words.js";

/** A call that Redis did not decide. */
export interface UnansweredCall extends Charge {
  readonly key: Key;
  readonly limit: AnyLimit;
}

/**
 * What a call is answered while Redis is away:
 * - `'open'`: allowed. The limit does not hold meanwhile.
 * - `'closed'`: refused, `retryAfterMs` until Redis is asked again.
 * - a function: either word, or a decision of its own.
 */
export type OnUnavailable =
  | "open"
  | "closed"
  | ((
      error: UnavailableError,
      call: UnansweredCall,
    ) => "open" | "closed" | Decision | Promise<"open" | "closed" | Decision>);

/** Without a breaker: when Redis will be asked again, as far as a refused caller is told. */
export const NEXT_PROBE_MS = 5_000;

/** Checks the option. */
export function checkOnUnavailable(option: unknown): void {
  if (option !== "open" && option !== "closed" && typeof option !== "function") {
    throw new LimiterError(`onUnavailable must be 'open', 'closed' or a function, not ${shown(option)}`);
  }
}

/** Decides in Redis' place. */
export async function decideWithout(
  option: OnUnavailable,
  error: UnavailableError,
  call: UnansweredCall,
  nextProbeMs = NEXT_PROBE_MS,
): Promise<Decision> {
  const answer = typeof option === "function" ? await option(error, call) : option;
  if (answer === "open") return openDecision(call.limit, call);
  if (answer === "closed") return closedDecision(call.limit, nextProbeMs);
  return answer;
}
