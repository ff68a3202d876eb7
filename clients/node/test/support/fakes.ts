import type { CustomClient, Metrics } from "../../src/index.js";

/** A client without a server: it answers what it is told, and remembers what it was asked. */
export function fakeClient(
  answer: (words: string[], n: number) => unknown,
  cluster = false,
): CustomClient & { readonly sent: string[][] } {
  const sent: string[][] = [];
  return {
    sent,
    cluster,
    send: async (words) => {
      sent.push(words);
      const reply = await answer(words, sent.length);
      if (reply instanceof Error) throw reply;
      return reply;
    },
  };
}

/** `[allowed, limit, remaining, retry, reset, next, used]` */
export const allow = (limit = 5, used = 1) => [1, limit, limit - used, 0, 60_000, 60_000, used];
export const refuse = (limit = 5, retry = 30_000) => [0, limit, 0, retry, retry, retry, limit];

/** Metrics that count: `rate_limit_…{labels}` → figure. */
export function countingMetrics(): Metrics & { readonly counts: Map<string, number> } {
  const counts = new Map<string, number>();
  const add = (name: string, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by);
  return {
    counts,
    request: ({ limiter, outcome, source }) => add(`request ${limiter} ${outcome} ${source}`),
    duration: () => add("duration"),
    redisError: ({ limiter, kind }) => add(`error ${limiter} ${kind}`),
    breaker: ({ from, to }) => add(`breaker ${from} ${to}`),
    regionDropped: ({ region, reason }, units) => add(`dropped ${region} ${reason}`, units),
  };
}
