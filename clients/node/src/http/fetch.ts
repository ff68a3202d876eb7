import { LimiterError } from "../errors.js";
import { addressKey } from "../identify.js";
import type { Problem } from "../problem.js";
import {
  checkCall,
  flow,
  type HttpLimiter,
  type RateLimitOptions,
  type RateLimitState,
  warn,
} from "./flow.js";

export type { HttpLimiter, RateLimitOptions, RateLimitState, RequestLimit } from "./flow.js";

/** What a handler is called with: the request, and what the platform adds (`env`, `ctx`, a server, …). */
export type FetchCall = readonly [request: Request, ...rest: unknown[]];

/** The request as a handler gets it. */
export type LimitedRequest = Request & {
  /** What the last `withRateLimit` decided about this request; absent where it was skipped. */
  readonly rateLimit?: RateLimitState;
};

/** Options of {@link withRateLimit}. */
export interface FetchRateLimitOptions<Call extends FetchCall> extends RateLimitOptions<Call, Response> {
  /**
   * The client's address: a `Request` has none, and platforms tell it in ways of their own. Take a header only where the
   * platform sets it itself. Needed, unless `key` is given.
   */
  readonly address?: (...call: Call) => string | null | undefined;
  /** Answers a denied request in place of the problem. The header fields are added to it. */
  readonly handler?: (request: Call[0] & LimitedRequest, problem: Problem) => Response | Promise<Response>;
}

/**
 * Wraps a handler of fetch's kind (a route handler or `proxy` of Next.js, Hono's `app.fetch`, a Worker, Bun, Deno): charges
 * each request, tells its limits in header fields, and answers denied ones with 429 and `application/problem+json`.
 *
 * @param limiter - or a function of the call that gives one: in Workers a client can serve one request only
 * @param handler - answers the requests that are allowed; where it throws, `refundOn` is asked of a response with status 500
 * @throws {@link LimiterError} where an option is wrong
 * @example
 * export const GET = withRateLimit(
 *   limiter,
 *   { limits: fixedWindow({ limit: 100, window: '1m' }), address: (request) => request.headers.get('x-real-ip') },
 *   () => Response.json({ ok: true }),
 * );
 */
export function withRateLimit<Call extends FetchCall, Res extends Response | null | undefined>(
  limiter: HttpLimiter | ((...call: Call) => HttpLimiter | Promise<HttpLimiter>),
  options: FetchRateLimitOptions<Call>,
  handler: (...call: Call) => Res | Promise<Res>,
): (...call: Call) => Promise<Res | Response> {
  // A function makes it later.
  const given = typeof limiter === "function" ? { consumeAll: limiter } : limiter;
  checkCall(given, options, "withRateLimit(limiter, { limits, address }, handler)");
  const { address, handler: answer, ipv6Subnet = 56 } = options;
  const decide = flow<Call, Response>(options, ["address", "handler"], (...call) =>
    addressKey(address?.(...call), { ipv6Subnet }),
  );
  needsKey(options);

  return async (...call) => {
    const outcome = await decide(typeof limiter === "function" ? () => limiter(...call) : limiter, call);
    if (!outcome) return handler(...call);
    const { state, problem, completed } = outcome;
    const [request] = call;
    Reflect.set(request, "rateLimit", state);
    if (problem) {
      const { status, headers, body } = problem;
      const response = answer
        ? await answer(request as Call[0] & LimitedRequest, problem)
        : new Response(JSON.stringify(body), { status, headers });
      const { "Retry-After": retryAfter } = headers;
      return withHeaders(response, {
        ...outcome.headers(),
        ...(retryAfter ? { "Retry-After": retryAfter } : {}),
      });
    }
    let response: Res;
    try {
      response = await handler(...call);
    } catch (error) {
      if (completed) inBackground(call, completed(new Response(null, { status: 500 })));
      throw error;
    }
    if (!response) return response;
    if (completed) inBackground(call, completed(response));
    return withHeaders(response, outcome.headers());
  };
}

function needsKey({ key, address, limits }: FetchRateLimitOptions<never>): void {
  if (key || address || typeof limits === "function") return;
  if (Array.isArray(limits) && limits.every((one) => one?.key !== undefined)) return;
  throw new LimiterError("a Request has no address: give the option address, or key");
}

/** A response that came from elsewhere (`fetch`, `Response.redirect`) is read-only: a copy takes its place. */
function withHeaders(response: Response, headers: Record<string, string>): Response {
  const fields = Object.entries(headers);
  if (fields.length === 0 || response.type === "error") return response;
  const set = (on: Response) => {
    for (const [name, value] of fields) on.headers.set(name, value);
    return on;
  };
  try {
    return set(response);
  } catch {
    return set(new Response(response.body, response));
  }
}

/** Workers and Next.js end what a request began with its response, but for what they are told to wait for. */
function inBackground(call: FetchCall, work: Promise<void>): void {
  const context = call.find(
    (one): one is { waitUntil(work: Promise<unknown>): void } =>
      typeof (one as { waitUntil?: unknown } | null | undefined)?.waitUntil === "function",
  );
  const watched = work.catch(warn);
  context?.waitUntil(watched);
}
