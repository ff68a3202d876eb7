import type { createServer } from "node:http";
import { Hono } from "hono";
import { rateLimiter, type Store } from "hono-rate-limiter";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { HonoRateLimitStore, UnavailableError } from "../../src/stores/hono-rate-limiter.js";
import type { Server } from "../support/server.js";
import { type NodeRedis, PATIENT_MS, serve, startRedis, statuses, stopServing } from "./support.js";

let server: Server;
let client: NodeRedis;

beforeAll(async () => {
  ({ server, client } = await startRedis());
});
beforeEach(async () => {
  await client.flushAll();
});
afterEach(stopServing);
afterAll(async () => {
  client.destroy();
  await server.stop();
});

type Options = Parameters<typeof rateLimiter>[0];

function app(options: object, timeoutMs = PATIENT_MS) {
  const made = new Hono();
  const store = new HonoRateLimitStore({ client, timeoutMs });
  const keyGenerator = () => "caller";
  made.use(rateLimiter({ windowMs: 60_000, keyGenerator, store, ...options } as Options));
  made.get("/", (c) => c.text("hello"));
  made.get("/fail", (c) => c.text("sorry", 500));
  made.onError((error, c) => c.text(error.name, 503));
  return serve(bridge(made));
}

/** Real HTTP for a fetch handler: as much as these tests need of it. */
function bridge(made: Hono): Parameters<typeof createServer>[1] {
  return async (request, response) => {
    const answer = await made.fetch(new Request(`http://localhost${request.url}`));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(await answer.text());
  };
}

it("satisfies hono-rate-limiter's interface", () => {
  expectTypeOf<HonoRateLimitStore>().toExtend<Store>();
});

describe("hono-rate-limiter over HTTP", () => {
  it("denies above the limit, and lets pass again when the window has ended", async () => {
    const call = await app({ limit: 2 });
    expect((await call()).headers).toMatchObject({
      "ratelimit-policy": "2;w=60",
      "ratelimit-limit": "2",
      "ratelimit-remaining": "1",
      "ratelimit-reset": "60",
    });
    expect(await statuses(call, 2)).toEqual([200, 429]);
    const denied = await call();
    expect(denied.headers["retry-after"]).toBe("60");
    expect(denied.body).toContain("Too many requests");
    server.clock.advance(60_000);
    expect(await statuses(call, 3)).toEqual([200, 200, 429]);
  });

  it("skipFailedRequests gives failed ones back", async () => {
    const call = await app({ limit: 1, skipFailedRequests: true });
    expect(await statuses(() => call("/fail"), 3)).toEqual([500, 500, 500]);
    expect(await statuses(call, 2)).toEqual([200, 429]);
  });

  it("hands the store's get and resetKey to the context", async () => {
    const store = new HonoRateLimitStore({ client, timeoutMs: PATIENT_MS });
    store.init({ windowMs: 1000 });
    await store.increment("caller");
    expect(await store.get("caller")).toMatchObject({ totalHits: 1 });
    await store.resetKey("caller");
    expect(await store.get("caller")).toBeUndefined();
  });

  it("throws within timeoutMs while Redis is away", async () => {
    const call = await app({ limit: 1 }, 100);
    server.freeze();
    try {
      const start = performance.now();
      expect(await call()).toMatchObject({ status: 503, body: UnavailableError.name });
      expect(performance.now() - start).toBeLessThan(3000);
    } finally {
      server.thaw();
    }
  });
});
