import type { NextFunction, Request, RequestHandler, Response } from "express";
import { identify } from "../identify.js";
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

declare global {
  namespace Express {
    interface Request {
      /** What the last `rateLimit` decided about this request; absent where it was skipped. */
      rateLimit?: RateLimitState;
    }
  }
}

/** Options of {@link rateLimit}. */
export interface ExpressRateLimitOptions extends RateLimitOptions<[req: Request], Response> {
  /**
   * Answers a denied request in place of the problem. Status and header fields are set already: `res.json({ … })` will do.
   * It may call `next()` to let the request pass all the same.
   */
  readonly handler?: (req: Request, res: Response, next: NextFunction, problem: Problem) => unknown;
}

/**
 * Middleware for Express 4 and 5: charges each request, tells its limits in header fields, and answers denied ones with
 * 429 and `application/problem+json`. Addresses come from `req.ip`, so set Express' `trust proxy` behind a proxy.
 *
 * @throws {@link LimiterError} where an option is wrong
 * @example
 * app.use(rateLimit(limiter, { limits: fixedWindow({ limit: 100, window: '1m' }) }));
 */
export function rateLimit(limiter: HttpLimiter, options: ExpressRateLimitOptions): RequestHandler {
  checkCall(limiter, options, "rateLimit(limiter, { limits })");
  const { handler, ipv6Subnet = 56 } = options;
  const decide = flow<[Request], Response>(options, ["handler"], (req) => identify(req, { ipv6Subnet }));

  /** Whether the request goes on. */
  async function admit(req: Request, res: Response, next: NextFunction): Promise<boolean> {
    const outcome = await decide(limiter, [req]);
    if (!outcome) return true;
    const { state, problem, completed } = outcome;
    req.rateLimit = state;
    // Something else, a time-out say, may have answered while Redis was asked.
    if (res.headersSent) return problem === undefined;
    for (const [name, value] of Object.entries(outcome.headers())) res.setHeader(name, value);
    if (!problem) {
      if (completed) res.once("finish", () => completed(res).catch(warn));
      return true;
    }
    for (const [name, value] of Object.entries(problem.headers)) res.setHeader(name, value);
    res.statusCode = problem.status;
    if (!handler) res.end(JSON.stringify(problem.body));
    else {
      res.removeHeader("Content-Type");
      await handler(req, res, next, problem);
    }
    return false;
  }

  return (req, res, next) => {
    let called = false;
    const once: NextFunction = (error?: unknown) => {
      if (called) return;
      called = true;
      next(error);
    };
    admit(req, res, once).then(
      (goesOn) => {
        if (goesOn) once();
      },
      // A client that has hung up has no address any more, and nobody waits for the error.
      (error: unknown) => {
        if (!req.socket?.destroyed) once(error);
      },
    );
  };
}
