import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
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

declare module "fastify" {
  interface FastifyRequest {
    /** What the last `rateLimit` decided about this request; absent where it was skipped. */
    rateLimit?: RateLimitState;
  }
}

/** Besides the shared options; the last three are of Fastify's own `register`. */
const OWN = ["limiter", "hook", "handler", "prefix", "logLevel", "logSerializers"];

/** Options of the plugin. */
export interface FastifyRateLimitOptions extends RateLimitOptions<[request: FastifyRequest], FastifyReply> {
  readonly limiter: HttpLimiter;
  /**
   * When requests are decided. Default `'onRequest'`, before a body is read. Where the application authenticates in a later
   * hook, or `cost` needs the body, take that one.
   */
  readonly hook?: "onRequest" | "preValidation" | "preHandler";
  /**
   * Answers a denied request in place of the problem: sends, or returns the body. Status and header fields are set already.
   */
  readonly handler?: (request: FastifyRequest, reply: FastifyReply, problem: Problem) => unknown;
}

/**
 * A plugin for Fastify 5: charges each request of the instance where it is registered, tells its limits in header fields,
 * and answers denied ones with 429 and `application/problem+json`. Addresses come from `request.ip`, so set Fastify's
 * `trustProxy` behind a proxy.
 *
 * @example
 * await app.register(rateLimit, { limiter, limits: fixedWindow({ limit: 100, window: '1m' }) });
 */
const rateLimit: FastifyPluginAsync<FastifyRateLimitOptions> = async (fastify, options) => {
  const { limiter, hook = "onRequest", handler, ipv6Subnet = 56 } = options;
  const decide = flow<[FastifyRequest], FastifyReply>(options, OWN, (request) =>
    identify(request as { user?: unknown; ip: string }, { ipv6Subnet }),
  );
  checkCall(limiter, options, "register(rateLimit, { limiter, limits })");
  if (!fastify.hasRequestDecorator("rateLimit")) fastify.decorateRequest("rateLimit", undefined);

  fastify.addHook(hook as "onRequest", async (request, reply) => {
    const outcome = await decide(limiter, [request]);
    if (!outcome) return;
    const { state, problem, completed } = outcome;
    request.rateLimit = state;
    // Something else, a time-out say, may have answered while Redis was asked.
    if (reply.sent) return;
    reply.headers(outcome.headers());
    if (!problem) {
      if (completed) reply.raw.once("finish", () => completed(reply).catch(warn));
      return;
    }
    reply.code(problem.status).headers(problem.headers);
    // As bytes: to a string Fastify would add a charset, which this media type has not.
    if (!handler) return reply.send(Buffer.from(JSON.stringify(problem.body)));
    reply.removeHeader("Content-Type");
    const body = await handler(request, reply, problem);
    return body === undefined ? reply : reply.send(body);
  });
};

// What the package fastify-plugin does: the hook is the registering instance's, not that of a new one inside.
Object.assign(rateLimit, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "redis-limiter-client",
  [Symbol.for("plugin-meta")]: { name: "redis-limiter-client", fastify: "5.x" },
});

export default rateLimit;
