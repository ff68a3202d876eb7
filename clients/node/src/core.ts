import type { Connection } from "./connection.js";
import { type Decision, decisionFrom } from "./decision.js";
import type { DenyCache } from "./deny-cache.js";
import { UnavailableError } from "./errors.js";
import type { Key } from "./keys.js";
import type { AnyLimit, Limit } from "./limits.js";
import type { Regions } from "./regions.js";
import type { Report } from "./report.js";
import type { Fallback } from "./unavailable.js";
import { type Charge, command, type Place, stateKey } from "./words.js";

/** What holds units that were taken ahead: a prefetch. */
export interface Holder {
  /** Gives back what is held for a key: its limits change. */
  letGo(key: Key): void;
  /** Drops what is held for a key that was reset, with all limits of its hash or this one: it is no longer charged. */
  forget(key: Key, limit?: AnyLimit): void;
  /** Gives everything back. */
  close(): Promise<void>;
}

/** What the parts of a limiter share. */
export interface Core {
  readonly redis: Connection;
  /** Of all keys, the client's own prefix included. */
  readonly prefix: string;
  readonly fallback: Fallback;
  readonly report: Report;
  readonly denials: DenyCache | undefined;
  readonly regions: Regions | undefined;
  /** What holds units at this moment. */
  readonly prefetches: Set<Holder>;
}

/**
 * Sends a command about a limit.
 *
 * @throws what {@link Connection.ask} throws, counted
 */
export async function ask(
  core: Core,
  words: string[],
  key: string,
  limit?: AnyLimit,
  options: { readonly readonly?: boolean; readonly timeoutMs?: number } = {},
): Promise<unknown> {
  try {
    return await core.redis.ask(words, key, options);
  } catch (error) {
    throw core.report.error(error, limit);
  }
}

/**
 * Charges one limit, and tells the deny cache and the other regions.
 *
 * @throws {@link UnavailableError}
 */
export async function charge(
  core: Core,
  place: Place & { readonly limit: Limit },
  what: Charge,
  timeoutMs = core.redis.timeoutMs,
): Promise<Decision> {
  const { cost = 1 } = what;
  const words = command(place, what);
  core.regions?.check(place.limit);
  const epoch = core.denials?.epoch ?? 0;
  try {
    const reply = await ask(core, words, stateKey(place), place.limit, { timeoutMs });
    const decision = decisionFrom(reply, place.limit, what);
    core.denials?.keep(place, what, decision, epoch);
    core.regions?.add(place, cost < 0 ? cost : decision.granted);
    return decision;
  } finally {
    // Whatever was answered: it may have been given back.
    if (cost < 0) core.denials?.forget(place);
  }
}

/** Drops what this process remembers of a caller whose state it has deleted: all limits' in the hash, or one's. */
export function forget(core: Core, place: Pick<Place, "prefix" | "key">, limit?: AnyLimit): void {
  core.denials?.forget(place);
  for (const prefetch of core.prefetches) prefetch.forget(place.key, limit);
}

/** Passes on what a fallback may answer, and throws everything else. */
export function unavailable(error: unknown): UnavailableError {
  if (error instanceof UnavailableError) return error;
  throw error;
}
