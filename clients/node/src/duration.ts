import { LimiterError } from "./errors.js";

/**
 * A whole number with a unit, `ms`, `s`, `m`, `h` or `d`, from `1ms` to `3660d`: `'250ms'`, `'10s'`, `'1m'`, `'1d'`.
 * A bare number is an error, so that nobody mistakes seconds for milliseconds.
 */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** Calendar months, `'1mo'` to `'120mo'`: for an aligned fixed window. */
export type Months = `${number}mo`;

const UNIT_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const DAY_MS = UNIT_MS.d;
const MAX_MS = 3660 * DAY_MS;
const MAX_MONTHS = 120;

/** What a duration came to. */
export interface ParsedDuration {
  /** Milliseconds; of months 30 days each, which is right for nothing but a rough idea. */
  readonly ms: number;
  /** The same in the largest unit that is whole: `60s` is `1m`. */
  readonly canonical: string;
}

/**
 * Reads a duration as the module does.
 *
 * @param argument - its name, for the error
 * @throws {@link LimiterError} where the module would take it for a mistake
 */
export function parseDuration(argument: string, text: unknown): ParsedDuration {
  const ms = milliseconds(text);
  if (ms === undefined || ms < 1 || ms > MAX_MS) {
    throw wrong(argument, "a whole number with a unit ms, s, m, h or d, from 1ms to 3660d", text);
  }
  return { ms, canonical: canonical(ms) };
}

/** As {@link parseDuration}, and `1mo` to `120mo`. */
export function parseWindow(argument: string, text: unknown): ParsedDuration {
  const months = typeof text === "string" ? /^(\d{1,18})mo$/.exec(text)?.[1] : undefined;
  if (months === undefined) return parseDuration(argument, text);
  const count = Number(months);
  if (count < 1 || count > MAX_MONTHS) throw wrong(argument, "from 1mo to 120mo", text);
  return { ms: count * 30 * DAY_MS, canonical: `${count}mo` };
}

/** An aligned window's offset: a duration with a sign, `'-9h'`; `window` decides the range. */
export function parseOffset(argument: string, text: unknown, ofMonths: boolean): void {
  const negative = typeof text === "string" && text.startsWith("-");
  const ms = milliseconds(negative ? text.slice(1) : text);
  const signed = ms === undefined ? undefined : negative ? -ms : ms;
  const [least, most] = ofMonths ? [-DAY_MS, 27 * DAY_MS] : [-MAX_MS, MAX_MS];
  if (signed === undefined || signed < least || signed > most) {
    throw wrong(argument, `a duration from ${ofMonths ? "-24h to 27d" : "-3660d to 3660d"}`, text);
  }
}

function milliseconds(text: unknown): number | undefined {
  const match = typeof text === "string" ? /^(\d{1,18})(ms|s|m|h|d)$/.exec(text) : null;
  return match ? Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS] : undefined;
}

/** A span in its largest unit, of any length: `1m`, `5000d`. */
export function canonical(ms: number): string {
  for (const [unit, size] of Object.entries(UNIT_MS)) if (ms % size === 0) return `${ms / size}${unit}`;
  return `${ms}ms`;
}

function wrong(argument: string, accepts: string, got: unknown): LimiterError {
  return new LimiterError(`${argument} must be ${accepts}, not ${shown(got)}`);
}

/** A value for an error's text, at most 64 characters of it. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? `'${value}'` : String(value);
  return text.length > 64 ? `${text.slice(0, 63)}…` : text;
}
