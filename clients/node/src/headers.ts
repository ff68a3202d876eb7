import type { Decision } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { spanMsOf } from "./limits.js";
import { type Answered, answered, type Decided, denies, policyName, secondsOf, whole } from "./policy.js";

/**
 * How a response tells its limits:
 * - `'draft-10'`: `RateLimit-Policy: "user";q=100;w=60` and `RateLimit: "user";r=42;t=7`, an item a limit.
 * - `'draft-6'`: `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset` (seconds from now), `RateLimit-Policy`.
 * - `'x-ratelimit'`: `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` (Unix seconds).
 *
 * The last two know one limit: the one that is nearest to denying.
 */
export type HeaderFormat = "draft-10" | "draft-6" | "x-ratelimit";

/** Options of {@link rateLimitHeaders}. */
export interface HeaderOptions {
  /** One format, several, or `false` for none. Default `'draft-10'`. */
  readonly format?: HeaderFormat | readonly HeaderFormat[] | false;
  /** Now, in ms since 1970, for `X-RateLimit-Reset`. Default: the clock. */
  readonly now?: number;
}

const WRITERS: Readonly<
  Record<HeaderFormat, (all: readonly Answered[], now: number) => Record<string, string>>
> = { "draft-6": draft6, "draft-10": draft10, "x-ratelimit": xRateLimit };

/**
 * The header fields that tell a client its limits, by name. Limits that nobody decided (`source: 'open'`) are left out.
 *
 * @param decided - each limit with its decision
 * @throws {@link LimiterError} where a format is unknown
 * @example
 * const decision = await limiter.consume('user:7', limit);
 * response.setHeaders(new Headers(rateLimitHeaders([{ limit, decision }])));
 */
export function rateLimitHeaders(
  decided: readonly Decided[],
  { format = "draft-10", now = Date.now() }: HeaderOptions = {},
): Record<string, string> {
  const formats = formatsOf("format", format);
  const told = answered(decided).filter(({ decision }) => decision.source !== "open");
  const headers: Record<string, string> = {};
  if (told.length === 0) return headers;
  // In the writers' order: where both drafts are asked for, RateLimit-Policy is the newer one's.
  for (const [name, write] of Object.entries(WRITERS)) {
    if (formats.includes(name as HeaderFormat)) Object.assign(headers, write(told, now));
  }
  return headers;
}

/** The formats of an option, checked. */
export function formatsOf(argument: string, format: HeaderOptions["format"]): readonly HeaderFormat[] {
  const formats = format === false ? [] : typeof format === "string" ? [format] : format;
  if (!Array.isArray(formats) || !formats.every((one) => Object.hasOwn(WRITERS, one))) {
    throw new LimiterError(
      `${argument} must be 'draft-10', 'draft-6', 'x-ratelimit', several of them, or false, not ${shown(format)}`,
    );
  }
  return formats;
}

function draft10(all: readonly Answered[]): Record<string, string> {
  return {
    "RateLimit-Policy": all
      .map(({ limit, decision }) => `${name(limit)};q=${int(decision.limit)};w=${windowOf(limit, decision)}`)
      .join(", "),
    RateLimit: all
      .map((one) => {
        const { limit, decision } = one;
        const wait = denies(one) ? decision.retryAfterMs : decision.nextAfterMs;
        return `${name(limit)};r=${int(decision.remaining)}${wait === null ? "" : `;t=${seconds(wait)}`}`;
      })
      .join(", "),
  };
}

function draft6(all: readonly Answered[]): Record<string, string> {
  const { decision } = nearest(all);
  return {
    "RateLimit-Policy": all
      .map(({ limit, decision }) => `${int(decision.limit)};w=${windowOf(limit, decision)}`)
      .join(", "),
    "RateLimit-Limit": int(decision.limit),
    "RateLimit-Remaining": int(decision.remaining),
    "RateLimit-Reset": seconds(decision.resetAfterMs),
  };
}

function xRateLimit(all: readonly Answered[], now: number): Record<string, string> {
  const { decision } = nearest(all);
  return {
    "X-RateLimit-Limit": int(decision.limit),
    "X-RateLimit-Remaining": int(decision.remaining),
    "X-RateLimit-Reset": seconds(now + decision.resetAfterMs),
  };
}

/** The limit that denies for longest, else the one with room for the fewest calls like this one, else the slowest. */
function nearest(all: readonly Answered[]): Answered {
  const rank = (one: Answered) => {
    const { decision, cost = 1 } = one;
    return denies(one)
      ? [0, -(decision.retryAfterMs ?? Number.POSITIVE_INFINITY)]
      : [1, decision.remaining / Math.max(cost, 1)];
  };
  const compare = (a: Answered, b: Answered) => {
    const [kindA = 0, roomA = 0] = rank(a);
    const [kindB = 0, roomB = 0] = rank(b);
    if (kindA !== kindB) return kindA - kindB;
    if (roomA !== roomB) return roomA < roomB ? -1 : 1;
    return b.decision.resetAfterMs - a.decision.resetAfterMs;
  };
  return all.reduce((least, one) => (compare(one, least) < 0 ? one : least));
}

/**
 * The window, or the time in which an empty bucket of the capacity in force fills, in seconds; at least 1. The fallback in
 * memory has a share of the units in the whole time.
 */
function windowOf(limit: Answered["limit"], { limit: inForce, source }: Decision): string {
  const isBucket = "capacity" in limit && source !== "memory";
  return int(Math.max(1, secondsOf(spanMsOf(isBucket ? { ...limit, capacity: inForce } : limit))));
}

const seconds = (ms: number) => String(secondsOf(ms));

const int = (value: number) => String(whole(value));

/**
 * A name as a Structured Fields String: `"` and `\` escaped. Those strings hold printable ASCII only, so all else is
 * percent-encoded: a name can never end a header line.
 */
function name(limit: Answered["limit"]): string {
  const text = policyName(limit)
    .replace(/[^\x20-\x7e]/gu, (char) =>
      Array.from(new TextEncoder().encode(char), (byte) => `%${hex(byte)}`).join(""),
    )
    .replace(/["\\]/g, "\\$&");
  return `"${text}"`;
}

const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, "0");
