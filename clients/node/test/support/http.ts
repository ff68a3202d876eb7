import { createServer, type IncomingMessage, request } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { serve as serveHono } from "@hono/node-server";
import express5, { type Express, type Request as ExpressRequest } from "express";
import createFastify from "fastify";
import { Hono } from "hono";
import { type ExpressRateLimitOptions, rateLimit } from "../../src/http/express.js";
import fastifyRateLimit, { type FastifyRateLimitOptions } from "../../src/http/fastify.js";
import { type FetchRateLimitOptions, type LimitedRequest, withRateLimit } from "../../src/http/fetch.js";
import type { HttpLimiter, RateLimitOptions, RateLimitState } from "../../src/http/flow.js";
import { identify } from "../../src/index.js";

/** A request of any framework, as far as the tests read it. */
export interface AnyRequest {
  readonly headers: unknown;
  readonly url: string;
}

/** Options that work in every framework; `handler` is each framework's own. */
export type AnyOptions = RateLimitOptions<[AnyRequest], { readonly status: number }>;

/** One header, in any framework. */
export function header(req: AnyRequest, name: string): string | undefined {
  const { headers } = req;
  if (headers instanceof Headers || typeof (headers as Headers).get === "function") {
    return (headers as Headers).get(name) ?? undefined;
  }
  return (headers as Record<string, string | undefined>)[name];
}

/** An application that listens. */
export interface Running {
  readonly url: string;
  /** What reached the framework's error handler. */
  readonly errors: unknown[];
  /** What the last handled request found on `rateLimit`. */
  state(): RateLimitState | undefined;
  /** How many requests were handled. */
  handled(): number;
  close(): Promise<unknown>;
}

export interface AppOptions {
  /** Whether the hop before is trusted to tell the client's address. */
  readonly trustProxy?: boolean;
  /** Answers denied requests by the framework's own means, with the problem's status and `{ "no": true }`. */
  readonly ownAnswer?: boolean;
}

export type Serve = (limiter: HttpLimiter, options: AnyOptions, app?: AppOptions) => Promise<Running>;

/**
 * Each application is alike: it authenticates by `X-User` (as a real one would by a session), answers with the status of
 * `X-Status`, and `GET /stream` streams one part and then waits until the client is gone.
 */
export const frameworks: Record<string, Serve> = {
  "Express 4": (...args) => serveExpress(createRequire(import.meta.url)("express4"), ...args),
  "Express 5": (...args) => serveExpress(express5, ...args),
  "Fastify 5": serveFastify,
  Hono: serveHonoApp,
};

function record() {
  let last: RateLimitState | undefined;
  let count = 0;
  return {
    errors: [] as unknown[],
    handle(state: RateLimitState | undefined) {
      last = state;
      count++;
    },
    state: () => last,
    handled: () => count,
  };
}

const statusOf = (value: unknown) => Number(value ?? 200);

async function serveExpress(
  create: typeof express5,
  limiter: HttpLimiter,
  options: AnyOptions,
  { trustProxy = false, ownAnswer = false }: AppOptions = {},
): Promise<Running> {
  const app: Express = create();
  const { handle, ...seen } = record();
  if (trustProxy) app.set("trust proxy", 1);
  app.use((req, _res, next) => {
    const id = req.get("x-user");
    if (id) (req as ExpressRequest & { user?: unknown }).user = { id };
    next();
  });
  const { refundOn } = options;
  app.use(
    rateLimit(limiter, {
      ...options,
      ...(refundOn ? { refundOn: (res, req) => refundOn({ status: res.statusCode }, req) } : {}),
      ...(ownAnswer ? { handler: (_req, res) => res.json({ no: true }) } : {}),
    } as ExpressRateLimitOptions),
  );
  app.get("/stream", (req, res) => {
    handle(req.rateLimit);
    res.write("first ");
  });
  app.all("/:path", (req, res) => {
    handle(req.rateLimit);
    res.status(statusOf(req.get("x-status"))).send("hello");
  });
  app.use((error: Error, _req: ExpressRequest, res: express5.Response, _next: unknown) => {
    seen.errors.push(error);
    res.status(500).send("error");
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "::", resolve));
  return {
    ...seen,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

async function serveFastify(
  limiter: HttpLimiter,
  options: AnyOptions,
  { trustProxy = false, ownAnswer = false }: AppOptions = {},
): Promise<Running> {
  const app = createFastify({ trustProxy: trustProxy ? "loopback" : false, forceCloseConnections: true });
  const { handle, ...seen } = record();
  app.decorateRequest("user", undefined);
  app.addHook("onRequest", async (request) => {
    const id = request.headers["x-user"];
    if (id) (request as unknown as { user: unknown }).user = { id };
  });
  const { refundOn } = options;
  await app.register(fastifyRateLimit, {
    limiter,
    ...options,
    ...(refundOn ? { refundOn: (reply, request) => refundOn({ status: reply.statusCode }, request) } : {}),
    ...(ownAnswer ? { handler: () => ({ no: true }) } : {}),
  } as FastifyRateLimitOptions);
  app.get("/stream", async (request, reply) => {
    handle(request.rateLimit);
    reply.hijack();
    reply.raw.write("first ");
  });
  app.all("/:path", async (request, reply) => {
    handle(request.rateLimit);
    return reply.code(statusOf(request.headers["x-status"])).send("hello");
  });
  app.setErrorHandler((error, _request, reply) => {
    seen.errors.push(error);
    reply.code(500).send("error");
  });
  await app.listen({ port: 0, host: "::" });
  return {
    ...seen,
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`,
    close: () => app.close(),
  };
}

async function serveHonoApp(
  limiter: HttpLimiter,
  options: AnyOptions,
  { trustProxy = false, ownAnswer = false }: AppOptions = {},
): Promise<Running> {
  const app = new Hono();
  const { handle, ...seen } = record();
  app.get("/stream", (c) => {
    handle((c.req.raw as LimitedRequest).rateLimit);
    return new Response(
      new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("first ")) }),
    );
  });
  app.all("/:path", (c) => {
    handle((c.req.raw as LimitedRequest).rateLimit);
    return new Response("hello", { status: statusOf(c.req.header("x-status")) });
  });
  type Env = { readonly incoming: IncomingMessage };
  const address = (request: Request, { incoming }: Env) =>
    (trustProxy ? request.headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() : undefined) ??
    incoming.socket.remoteAddress;
  const limited = withRateLimit(
    limiter,
    {
      key: (request: Request, env: Env) => {
        const id = request.headers.get("x-user");
        const ip = address(request, env);
        return identify({ ip, ...(id ? { user: { id } } : {}) });
      },
      ...options,
      ...(ownAnswer
        ? { handler: (_request, { status }) => Response.json({ no: true }, { status }) }
        : undefined),
    } as FetchRateLimitOptions<[Request, Env]>,
    (request: Request, env: Env) => app.fetch(request, env),
  );
  const server = serveHono({
    fetch: async (request, env) => {
      try {
        return await limited(request, env as Env);
      } catch (error) {
        seen.errors.push(error);
        return new Response("error", { status: 500 });
      }
    },
    port: 0,
    hostname: "::",
  });
  await new Promise<void>((resolve) => server.once("listening", () => resolve()));
  return {
    ...seen,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        (server as ReturnType<typeof createServer>).closeAllConnections();
      }),
  };
}

/** A request that the client gives up: after the first bytes of the answer, or `afterMs` if none comes. */
export function abandoned(url: string, headers: Record<string, string> = {}, afterMs = 200): Promise<void> {
  return new Promise((resolve) => {
    const call = request(url, { headers });
    call.on("response", (response) => response.once("data", () => call.destroy()));
    call.on("error", () => {});
    call.once("close", () => resolve());
    setTimeout(() => call.destroy(), afterMs);
    call.end();
  });
}
