import { isObject, known } from "../check.js";
import { type AllDecision, combine, type Decision } from "../decision.js";
import { shown } from "../duration.js";
import { LimiterError } from "../errors.js";
import { formatsOf, type HeaderFormat, rateLimitHeaders } from "../headers.js";
import { checkSubnet, sha256 } from "../identify.js";
import type { Key } from "../keys.js";
import type { Limiter } from "../limiter.js";
import type { Limit } from "../limits.js";
import { type Decided, denies } from "../policy.js";
import { type Problem, problem } from "../problem.js";
import type { Charge } from "../words.js";

/** What the middleware needs of a limiter. */
export type HttpLimiter = Pick<Limiter, "consume" | "consumeAll" | "refund">;

/** A limit of a request. What is left out is taken from the options `key` and `cost`. */
export interface RequestLimit extends Charge {
  readonly key?: Key;
  readonly limit: Limit;
}

/** A limit that a request was charged to, and its decision. */
export interface DecidedLimit extends Charge {
  readonly key: Key;
  readonly limit: Limit;
  readonly decision: Decision | null;
}

/** What was decided about a request: it stands on `request.rateLimit`. */
export interface RateLimitState extends AllDecision {
  /** Each limit with its key, its cost and its decision, in order. */
  readonly decided: readonly DecidedLimit[];
}

type Awaitable<T> = T | Promise<T>;

/**
 * The options that all frameworks share. `Call` is what a framework calls its handler with, the request first; `Res` is
 * its response.
 */
export interface RateLimitOptions<Call extends readonly [unknown, ...unknown[]], Res> {
  /**
   * The limits of a request, all of which must have room: one limit, several with keys and costs of their own, or a
   * function of the request that gives either (tiers, endpoints, methods).
   */
  readonly limits:
    | Limit
    | readonly RequestLimit[]
    | ((...call: Call) => Awaitable<Limit | readonly RequestLimit[]>);
  /**
   * Who is limited. Default `identify`: the authenticated user, else the address. A part of a key that is longer than 256
   * characters is replaced by its SHA-256, so that nobody fills Redis with long names.
   */
  readonly key?: (...call: Call) => Awaitable<Key>;
  /** The bits of an IPv6 address that tell callers apart. Default 56. */
  readonly ipv6Subnet?: number;
  /** Requests that are neither charged nor limited. Default: none. */
  readonly skip?: (...call: Call) => Awaitable<boolean>;
  /** What a request costs, in whole units from 0. Default 1. */
  readonly cost?: number | ((...call: Call) => Awaitable<number>);
  /**
   * Gives back what a request was charged, once its response is complete: `(res) => res.statusCode < 400` counts failed
   * logins only. It is not asked where the client hung up before: such a request stays charged, so that nobody hides an
   * attempt by hanging up. With `/fetch` it is asked when the handler has answered. Default: never.
   */
  readonly refundOn?: (response: Res, ...call: Call) => Awaitable<boolean>;
  /** The header fields that tell the limits: one format, several, or `false`. Default `'draft-10'`. */
  readonly headers?: HeaderFormat | readonly HeaderFormat[] | false;
  /** Adds a random wait of up to so many ms to what denied clients are told, so that they do not all come back at once. Default 0. */
  readonly jitterMs?: number;
  /** Told of each denied request, before it is answered: for logs. */
  readonly onDenied?: (request: Call[0], state: RateLimitState) => unknown;
}

const OPTIONS = [
  "limits",
  "key",
  "ipv6Subnet",
  "skip",
  "cost",
  "refundOn",
  "headers",
  "jitterMs",
  "onDenied",
];

/** What a framework does with a request. */
export interface Outcome<Res> {
  readonly state: RateLimitState;
  /** What the response must be if the request is denied. */
  readonly problem: Problem | undefined;
  /** The header fields, to be asked for when they are written: a middleware further in may have more limits to tell. */
  headers(): Record<string, string>;
  /** To be called once the response is complete; absent where nothing depends on it. */
  readonly completed: ((response: Res) => Promise<void>) | undefined;
}

/** The limits that a request's headers tell, of all middlewares that it passed. */
const told = new WeakMap<object, readonly Decided[]>();

/**
 * Checks the options, and answers the function that decides about a request: the one flow behind all frameworks. It
 * answers undefined where the request is skipped; a limiter that has to be made is made for the others only.
 *
 * @param own - names of options that only this framework has
 * @param identified - the key where the options give none
 * @throws {@link LimiterError} where an option is wrong
 */
export function flow<Call extends readonly [object, ...unknown[]], Res>(
  options: RateLimitOptions<Call, Res>,
  own: readonly string[],
  identified: (...call: Call) => Awaitable<Key>,
): (limiter: HttpLimiter | (() => Awaitable<HttpLimiter>), call: Call) => Promise<Outcome<Res> | undefined> {
  check(options, own);
  const { limits, key = identified, skip, cost = 1, refundOn, onDenied, jitterMs = 0 } = options;
  const formats = formatsOf("headers", options.headers ?? "draft-10");
  const fixed = typeof limits === "function" ? undefined : listed(limits);

  /** The request's limits, each with its key and its charge. */
  async function limitsOf(call: Call): Promise<Omit<DecidedLimit, "decision">[]> {
    const list = fixed ?? listed(await (limits as (...call: Call) => Awaitable<unknown>)(...call));
    const shared = list.some((one) => one.key === undefined) ? await bounded(await key(...call)) : "";
    const price = typeof cost === "function" ? await cost(...call) : cost;
    return Promise.all(
      list.map(async ({ key: ownKey, limit, cost: ownCost = price, mode }) => {
        checkCost(ownCost);
        const charge = mode === undefined ? { cost: ownCost } : { cost: ownCost, mode };
        return { key: ownKey === undefined ? shared : await bounded(ownKey), limit, ...charge };
      }),
    );
  }

  return async (given, call) => {
    if (skip && (await skip(...call))) return undefined;
    const charged = await limitsOf(call);
    const limiter = typeof given === "function" ? await given() : given;
    const all = await decide(limiter, charged);
    const decided = charged.map((one, i): DecidedLimit => ({ ...one, decision: all.decisions[i] ?? null }));
    const state: RateLimitState = { ...all, decided };

    const [request] = call;
    const telling = jitterMs > 0 && !all.allowed ? later(decided, Math.random() * jitterMs) : decided;
    if (formats.length > 0) told.set(request, [...(told.get(request) ?? []), ...telling]);
    if (!all.allowed) await onDenied?.(request, state);

    return {
      state,
      problem: all.allowed ? undefined : problem(telling),
      headers: () => rateLimitHeaders(told.get(request) ?? [], { format: formats }),
      completed:
        refundOn && all.allowed
          ? async (response) => {
              if (await refundOn(response, ...call)) await giveBack(limiter, decided);
            }
          : undefined,
    };
  };
}

/** One limit is one command; several are charged together, all or none. */
async function decide(
  limiter: HttpLimiter,
  charged: readonly Omit<DecidedLimit, "decision">[],
): Promise<AllDecision> {
  const [only, ...others] = charged;
  if (!only || others.length > 0) return limiter.consumeAll(charged);
  const { key, limit, ...charge } = only;
  return combine([await limiter.consume(key, limit, charge)], [{ charge }], true);
}

/** What Redis has charged. What passed without it (`open`, `memory`) was charged nowhere. */
async function giveBack(limiter: HttpLimiter, decided: readonly DecidedLimit[]): Promise<void> {
  await Promise.all(
    decided.map(({ key, limit, decision }) =>
      decision && decision.source === "redis" && decision.granted > 0
        ? limiter.refund(key, limit, decision.granted)
        : undefined,
    ),
  );
}

/** The same, with a longer wait where they deny. */
function later(decided: readonly DecidedLimit[], ms: number): DecidedLimit[] {
  return decided.map((one) => {
    const { decision } = one;
    if (!decision || decision.retryAfterMs === null || !denies({ ...one, decision })) return one;
    return { ...one, decision: { ...decision, retryAfterMs: decision.retryAfterMs + ms } };
  });
}

function listed(limits: unknown): readonly RequestLimit[] {
  const list: readonly RequestLimit[] = Array.isArray(limits) ? limits : [{ limit: limits as Limit }];
  if (list.length === 0)
    throw new LimiterError("limits must give at least one limit: to let a request pass, use skip");
  for (const one of list) {
    if (typeof (one as { algorithm?: unknown } | undefined)?.algorithm === "string") {
      throw new LimiterError(
        "limits must give objects that hold a limit each: write [{ limit: a }, { limit: b }]",
      );
    }
    const algorithm = (one?.limit as { algorithm?: unknown } | undefined)?.algorithm;
    if (algorithm === "lease") {
      throw new LimiterError(
        "limits must not hold a lease: take it by limiter.acquire(), so that it is released",
      );
    }
    if (typeof algorithm !== "string") {
      throw new LimiterError(
        `limits must give limits made by fixedWindow(), …, not ${shown(one?.limit ?? one)}`,
      );
    }
    known(one, ["limit", "key", "cost", "mode"], "one of limits");
  }
  return list;
}

const LONGEST = 256;
const HASHED = "sha256:";

async function bounded(key: Key): Promise<Key> {
  // What looks like a hash is hashed too: nobody can take the name of another's long one.
  const part = async (text: string) =>
    typeof text === "string" && (text.length > LONGEST || text.startsWith(HASHED))
      ? HASHED + (await sha256(text))
      : text;
  if (typeof key !== "object" || key === null) return part(key);
  return { tag: await part(key.tag), id: await part(key.id) };
}

/**
 * Checks the first arguments of a framework's function.
 *
 * @param write - how it is called
 * @throws {@link LimiterError}
 */
export function checkCall(limiter: unknown, options: unknown, write: string): void {
  if (typeof (limiter as Partial<HttpLimiter> | null | undefined)?.consumeAll !== "function") {
    throw new LimiterError(`limiter must be one of createLimiter(), not ${shown(limiter)}: write ${write}`);
  }
  isObject("options", options, write);
}

function check(options: RateLimitOptions<never, never>, own: readonly string[]): void {
  known(options, [...OPTIONS, ...own], "rateLimit");
  for (const option of ["key", "skip", "refundOn", "onDenied", "handler", "address"] as const) {
    const value = (options as unknown as Record<string, unknown>)[option];
    if (value !== undefined && typeof value !== "function") {
      throw new LimiterError(`${option} must be a function, not ${shown(value)}`);
    }
  }
  const { cost, jitterMs = 0, ipv6Subnet = 56 } = options;
  if (cost !== undefined && typeof cost !== "function") checkCost(cost);
  if (typeof jitterMs !== "number" || !(jitterMs >= 0 && jitterMs < Number.POSITIVE_INFINITY)) {
    throw new LimiterError(`jitterMs must be a number from 0, not ${shown(jitterMs)}`);
  }
  checkSubnet("ipv6Subnet", ipv6Subnet);
}

/** Below 0 a request would give itself units. */
function checkCost(cost: unknown): void {
  if (typeof cost !== "number" || !Number.isInteger(cost) || cost < 0) {
    throw new LimiterError(`cost must be a whole number from 0, not ${shown(cost)}`);
  }
}

/** For what fails when the response is gone: nobody is left to be answered, but somebody should know. */
export function warn(error: unknown): void {
  globalThis.process?.emitWarning?.(error instanceof Error ? error : String(error));
}
