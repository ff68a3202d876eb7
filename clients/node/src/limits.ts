import { isObject, known } from "./check.js";
import { type Duration, type Months, parseDuration, parseOffset, parseWindow, shown } from "./duration.js";
import { LimiterError } from "./errors.js";

/** What every limit but a lease may have besides its numbers. */
export interface LimitOptions {
  /**
   * Tells apart limits of the same algorithm and window on one caller, and names the limit in headers and metrics:
   * 1 to 32 of `A-Z a-z 0-9 _ . -`. Few and fixed: never an id.
   */
  readonly name?: string;
  /** A denied call blocks the caller for this long: no call passes until then. */
  readonly block?: { readonly for: Duration };
  /** Lets `limiter.override()` change this limit for one caller. It costs a look-up a call. */
  readonly override?: true;
}

/** {@link tokenBucket} */
export interface TokenBucket extends LimitOptions {
  readonly algorithm: "tokenBucket";
  readonly capacity: number;
  readonly refill: number;
  readonly period: Duration;
}

/** {@link leakyBucket} */
export interface LeakyBucket extends LimitOptions {
  readonly algorithm: "leakyBucket";
  readonly capacity: number;
  readonly leak: number;
  readonly period: Duration;
}

/** {@link fixedWindow} */
export interface FixedWindow extends LimitOptions {
  readonly algorithm: "fixedWindow";
  readonly limit: number;
  readonly window: Duration | Months;
  readonly align?: true;
  readonly offset?: Duration;
}

/** {@link slidingCounter} */
export interface SlidingCounter extends LimitOptions {
  readonly algorithm: "slidingCounter";
  readonly limit: number;
  readonly window: Duration;
}

/** {@link slidingLog} */
export interface SlidingLog extends LimitOptions {
  readonly algorithm: "slidingLog";
  readonly limit: number;
  readonly window: Duration;
}

/** {@link lease} */
export interface LeaseLimit {
  readonly algorithm: "lease";
  readonly limit: number;
  readonly ttl: Duration;
  readonly name?: string;
  readonly override?: true;
}

/** A limit on calls or units in time: what `consume` takes. */
export type Limit = TokenBucket | LeakyBucket | FixedWindow | SlidingCounter | SlidingLog;

/** Any limit, concurrency included: what `consumeAll` takes. */
export type AnyLimit = Limit | LeaseLimit;

/** The largest limit, capacity, refill and cost. */
export const MAX_UNITS = 1e12;

/**
 * Bursts of up to `capacity`, `refill` units anew every `period`, evenly.
 *
 * @param options.capacity - whole units, 0 to 10^12
 * @param options.refill - whole units, 1 to 10^12
 * @throws {@link LimiterError} naming the argument that is wrong
 * @example tokenBucket({ capacity: 100, refill: 10, period: '1s' })
 */
export function tokenBucket(options: Omit<TokenBucket, "algorithm">): TokenBucket {
  units("capacity", options.capacity, 0);
  units("refill", options.refill, 1);
  parseDuration("period", options.period);
  return made("tokenBucket", options, ["capacity", "refill", "period"]);
}

/**
 * A queue of at most `capacity` from which `leak` units leave every `period`, evenly: an allowed call's decision tells in
 * `delayMs` how long to wait for its turn.
 *
 * @param options.capacity - whole units, 0 to 10^12
 * @param options.leak - whole units, 1 to 10^12
 * @throws {@link LimiterError} naming the argument that is wrong
 */
export function leakyBucket(options: Omit<LeakyBucket, "algorithm">): LeakyBucket {
  units("capacity", options.capacity, 0);
  units("leak", options.leak, 1);
  parseDuration("period", options.period);
  return made("leakyBucket", options, ["capacity", "leak", "period"]);
}

/**
 * `limit` units until a window ends, then anew. The window opens at the first call; with `align` windows follow the
 * calendar, in UTC, moved by `offset`: `{ window: '1d', align: true, offset: '-9h' }` ends at midnight in Tokyo.
 *
 * @param options.limit - whole units, 0 to 10^12
 * @param options.window - a duration; with `align` also calendar months, `1mo` to `120mo`
 * @param options.offset - a duration with or without `-`; only with `align`
 * @throws {@link LimiterError} naming the argument that is wrong
 */
export function fixedWindow(
  options: Omit<FixedWindow, "algorithm" | "align" | "offset"> & {
    readonly align?: boolean;
    readonly offset?: Duration;
  },
): FixedWindow {
  units("limit", options.limit, 0);
  parseWindow("window", options.window);
  const ofMonths = String(options.window).endsWith("mo");
  if (ofMonths && !options.align) throw new LimiterError("window in months (mo) must come with align: true");
  if (options.offset !== undefined) {
    if (!options.align) throw new LimiterError("offset must come with align: true");
    parseOffset("offset", options.offset, ofMonths);
  }
  const { align, ...rest } = options;
  return made("fixedWindow", align ? { ...rest, align } : rest, ["limit", "window", "align", "offset"]);
}

/**
 * `limit` units in any window, estimated from two counts: little memory, no bursts at a window's edge.
 *
 * @param options.limit - whole units, 0 to 10^12
 * @throws {@link LimiterError} naming the argument that is wrong
 */
export function slidingCounter(options: Omit<SlidingCounter, "algorithm">): SlidingCounter {
  units("limit", options.limit, 0);
  parseDuration("window", options.window);
  return made("slidingCounter", options, ["limit", "window"]);
}

/**
 * `limit` units in any window, exactly, by remembering every call: for small limits, such as logins.
 *
 * @param options.limit - whole units, 0 to 10^12
 * @throws {@link LimiterError} naming the argument that is wrong
 */
export function slidingLog(options: Omit<SlidingLog, "algorithm">): SlidingLog {
  units("limit", options.limit, 0);
  parseDuration("window", options.window);
  return made("slidingLog", options, ["limit", "window"]);
}

/**
 * At most `limit` holders at a time; a holder that neither renews nor releases is gone after `ttl`.
 *
 * @param options.limit - holders, 0 to 10^12
 * @throws {@link LimiterError} naming the argument that is wrong
 */
export function lease(options: Omit<LeaseLimit, "algorithm">): LeaseLimit {
  units("limit", options.limit, 0);
  parseDuration("ttl", options.ttl);
  if ("block" in options) throw new LimiterError("block is not possible on a lease");
  return made("lease", options, ["limit", "ttl"]);
}

/** The units that a limit holds: its `limit` or `capacity`. */
export function unitsOf(limit: AnyLimit): number {
  return "capacity" in limit ? limit.capacity : limit.limit;
}

/**
 * The time a limit speaks of, in ms: its window, the time in which an empty bucket fills, a lease's `ttl`. Of months, 30
 * days each.
 */
export function spanMsOf(limit: AnyLimit): number {
  switch (limit.algorithm) {
    case "tokenBucket":
      return Math.ceil((parseDuration("period", limit.period).ms * limit.capacity) / limit.refill);
    case "leakyBucket":
      return Math.ceil((parseDuration("period", limit.period).ms * limit.capacity) / limit.leak);
    case "lease":
      return parseDuration("ttl", limit.ttl).ms;
    default:
      return parseWindow("window", limit.window).ms;
  }
}

/** A limit's name where nobody gave it one, such as `fixed-1m`: part of keys, so it must stay as it is. */
export function defaultName(limit: AnyLimit): string {
  switch (limit.algorithm) {
    case "tokenBucket":
      return `token-bucket-${parseDuration("period", limit.period).canonical}`;
    case "leakyBucket":
      return `leaky-bucket-${parseDuration("period", limit.period).canonical}`;
    case "fixedWindow":
      return `${limit.align ? "aligned" : "fixed"}-${parseWindow("window", limit.window).canonical}`;
    case "slidingCounter":
      return `sliding-counter-${parseDuration("window", limit.window).canonical}`;
    case "slidingLog":
      return `sliding-log-${parseDuration("window", limit.window).canonical}`;
    case "lease":
      return `lease-${parseDuration("ttl", limit.ttl).canonical}`;
  }
}

/**
 * Checks a limit's name.
 *
 * @throws {@link LimiterError} naming `argument`
 */
export function checkName(argument: string, name: unknown): void {
  if (
    typeof name !== "string" ||
    !/^[A-Za-z0-9_.-]{1,32}$/.test(name) ||
    /^(KEY|BLOCK|OVERRIDE)$/i.test(name)
  ) {
    throw new LimiterError(
      `${argument} must be 1 to 32 of A-Z a-z 0-9 _ . -, and not KEY, BLOCK or OVERRIDE, not ${shown(name)}`,
    );
  }
}

/** Checks a number of units. */
export function units(argument: string, value: unknown, least: number): void {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > MAX_UNITS) {
    throw new LimiterError(
      `${argument} must be a whole number from ${least} to ${MAX_UNITS}, not ${shown(value)}`,
    );
  }
}

/** The words that all limits share, checked; an unknown one is an error, since a typing error must not mean no limit. */
function made<L extends AnyLimit>(
  algorithm: L["algorithm"],
  options: Omit<L, "algorithm">,
  own: readonly string[],
): L {
  const limit: Record<string, unknown> = { algorithm };
  known(options, [...own, "name", ...(algorithm === "lease" ? [] : ["block"]), "override"], algorithm);
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) limit[option] = value;
  }
  const { name, block, override } = limit;
  if (name !== undefined) checkName("name", name);
  if (override !== undefined && override !== true)
    throw new LimiterError("override must be true or left out");
  if (block !== undefined) {
    isObject("block", block, `{ for: ${typeof block === "string" ? shown(block) : "'5m'"} }`);
    known(block as object, ["for"], "block");
    const span = (block as { for?: unknown }).for;
    parseDuration("block.for", span);
    limit.block = Object.freeze({ for: span });
  }
  return Object.freeze(limit) as unknown as L;
}
