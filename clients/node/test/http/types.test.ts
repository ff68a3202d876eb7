import express from "express";
import Fastify from "fastify";
import { type NextRequest, NextResponse } from "next/server";
import { it } from "vitest";
import { rateLimit } from "../../src/http/express.js";
import fastifyRateLimit from "../../src/http/fastify.js";
import { withRateLimit } from "../../src/http/fetch.js";
import { apiKey, createLimiter, fixedWindow, lease } from "../../src/index.js";

// Checked by `npm run typecheck`; here so that a reader finds them.
it("types of the middleware fit the frameworks", () => {
  () => {
    const limiter = createLimiter({ send: async () => [] });
    const limits = fixedWindow({ limit: 1, window: "1m" });
    express().post(
      "/",
      rateLimit(limiter, {
        limits: (req) => (req.get("x-plan") === "pro" ? limits : [{ limit: limits, key: "site", cost: 2 }]),
        key: apiKey,
        refundOn: (res, req) => res.statusCode < 400 && req.path === "/",
        handler: (_req, res, _next, { status }) => res.status(status).end(),
      }),
      (req, res) => res.json(req.rateLimit?.decisions[0]?.remaining),
    );
    Fastify()
      .register(fastifyRateLimit, { limiter, limits, key: apiKey, cost: (request) => request.url.length })
      .get("/", async (request) => request.rateLimit?.allowed);
    // Next.js: a proxy, and a route handler with parameters.
    const address = (request: Request) => request.headers.get("x-real-ip");
    withRateLimit(limiter, { limits, address }, (_request: NextRequest) => NextResponse.next());
    withRateLimit(
      limiter,
      { limits, key: async (_request, { params }) => (await params).id },
      async (_request: NextRequest, context: { params: Promise<{ id: string }> }) =>
        Response.json(await context.params),
    );
    // @ts-expect-error: a lease is acquired, not consumed
    rateLimit(limiter, { limits: lease({ limit: 1, ttl: "1m" }) });
    // @ts-expect-error: no such option
    rateLimit(limiter, { limits, max: 5 });
  };
});
