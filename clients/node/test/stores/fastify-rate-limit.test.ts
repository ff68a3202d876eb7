import rateLimit, { type FastifyRateLimitStoreCtor, type RateLimitPluginOptions } from "@fastify/rate-limit";
import Fastify, { type FastifyInstance, type RouteShorthandOptions } from "fastify";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import {
  fastifyRateLimitStore,
  type FastifyRateLimitStoreOptions as Own,
} from "../../src/stores/fastify-rate-limit.js";
import { ofCluster } from "../support/clients.js";
import { Cluster, type Server } from "../support/server.js";
import { caller, type NodeRedis, PATIENT_MS, startRedis, statuses } from "./support.js";

let server: Server;
let client: NodeRedis;
let running: FastifyInstance[] = [];

beforeAll(async () => {
  ({ server, client } = await startRedis());
});
beforeEach(async () => {
  await client.flushAll();
});
afterEach(async () => {
  for (const one of running) await one.close();
  running = [];
});
afterAll(async () => {
  client.destroy();
  await server.stop();
});

/** An application with a limit, and how to call it. */
async function app(
  options: RateLimitPluginOptions,
  route: RouteShorthandOptions = {},
  own: Partial<Own> = {},
  more: (made: FastifyInstance) => void = () => {},
) {
  const made = Fastify();
  running.push(made);
  await made.register(rateLimit, {
    store: fastifyRateLimitStore({ client, timeoutMs: PATIENT_MS, ...own }),
    ...options,
  });
  made.get("/", route, async () => "hello!");
  more(made);
  await made.listen({ port: 0, host: "127.0.0.1" });
  return caller((made.server.address() as { port: number }).port);
}

const limits = (limit: number, remaining: number, reset: number) => ({
  "x-ratelimit-limit": String(limit),
  "x-ratelimit-remaining": String(remaining),
  "x-ratelimit-reset": String(reset),
});

it("satisfies the plugin's interface", () => {
  expectTypeOf<ReturnType<typeof fastifyRateLimitStore>>().toExtend<FastifyRateLimitStoreCtor>();
});

describe("as the plugin's tests of its Redis store have it", () => {
  it("limits, tells so in headers and body, and lets pass when the window has ended", async () => {
    const call = await app({ max: 2, timeWindow: 1000 });
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 1, 1) });
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 0, 1) });
    server.clock.advance(100);
    const denied = await call();
    expect(denied).toMatchObject({ status: 429, headers: { ...limits(2, 0, 1), "retry-after": "1" } });
    expect(JSON.parse(denied.body)).toEqual({
      statusCode: 429,
      error: "Too Many Requests",
      message: "Rate limit exceeded, retry in 1 second",
    });
    server.clock.advance(900);
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 1, 1) });
  });

  it("bans who goes on", async () => {
    const call = await app({ max: 1, ban: 1, timeWindow: 1000 });
    expect(await statuses(call, 3)).toEqual([200, 429, 403]);
    expect(await call()).toMatchObject({ status: 403, headers: { ...limits(1, 0, 1), "retry-after": "1" } });
    server.clock.advance(1000);
    expect(await statuses(call, 1)).toEqual([200]);
  });

  it("continueExceeding: a denied call starts the window anew and keeps the count", async () => {
    const call = await app({ max: 2, timeWindow: 3000, continueExceeding: true, ban: 2 });
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 1, 3) });
    server.clock.advance(1000);
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 0, 2) });
    expect(await call()).toMatchObject({ status: 429, headers: { ...limits(2, 0, 3), "retry-after": "3" } });
    server.clock.advance(2900);
    expect(await call()).toMatchObject({ status: 429, headers: limits(2, 0, 3) });
    expect(await call()).toMatchObject({ status: 403, headers: limits(2, 0, 3) });
    server.clock.advance(2999);
    expect(await statuses(call, 1)).toEqual([403]);
    server.clock.advance(3000);
    expect(await call()).toMatchObject({ status: 200, headers: limits(2, 1, 3) });
  });

  it("continueExceeding lets none pass while windows are started anew", async () => {
    const call = await app({ max: 1, timeWindow: 60_000, continueExceeding: true });
    await call();
    const answers = await Promise.all(Array.from({ length: 50 }, () => call()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([429]));
    expect(await client.hGet("rl:{127.0.0.1}", "fw:60000")).toMatch(/^51@/);
  });

  it("a route may turn continueExceeding on or off", async () => {
    const on = { config: { rateLimit: { timeWindow: 5000, max: 1, continueExceeding: true } } };
    const off = { config: { rateLimit: { timeWindow: 5000, max: 1, continueExceeding: false } } };
    const [extends_, keeps] = [
      await app({ global: false }, on, { prefix: "rl:on:" }),
      await app({ global: false, continueExceeding: true }, off, { prefix: "rl:off:" }),
    ];
    expect(await statuses(extends_, 2)).toEqual([200, 429]);
    expect(await statuses(keeps, 2)).toEqual([200, 429]);
    server.clock.advance(2000);
    expect(await extends_()).toMatchObject({ status: 429, headers: limits(1, 0, 5) });
    expect(await keeps()).toMatchObject({ status: 429, headers: limits(1, 0, 3) });
  });

  it("counts each route that has limits of its own apart", async () => {
    const config = { rateLimit: { max: 1, timeWindow: 60_000 } };
    const call = await app({ max: 3, timeWindow: 60_000 }, {}, {}, (made) => {
      made.get("/a", { config }, async () => "a");
      made.get("/b/:id(^\\d{2}$)", { config }, async () => "b");
    });
    expect(await statuses(() => call("/a"), 2)).toEqual([200, 429]);
    expect(await statuses(() => call("/b/12"), 2)).toEqual([200, 429]);
    expect(await statuses(call, 4)).toEqual([200, 200, 200, 429]);
    const keys = await client.keys("*");
    expect(keys.every((key) => /^rl:[^{}]*\{127\.0\.0\.1\}$/.test(key))).toBe(true);
    expect(keys).toContain("rl:GET/a-{127.0.0.1}");
  });

  it("{ increment: false } reads the state and counts nothing", async () => {
    const call = await app({ global: false, max: 2, timeWindow: 1000 }, {}, {}, (made) => {
      const check = made.createRateLimit();
      made.get("/peek", async (request) => check(request, { increment: false }));
      made.get("/consume", async (request) => check(request));
    });
    const remaining = async (path: string) => JSON.parse((await call(path)).body).remaining;
    expect(await remaining("/peek")).toBe(2);
    expect(await remaining("/consume")).toBe(1);
    expect(await remaining("/peek")).toBe(1);
    expect(await remaining("/consume")).toBe(0);
    expect(JSON.parse((await call("/peek")).body)).toMatchObject({
      remaining: 0,
      ttl: 1000,
      isExceeded: false,
    });
    expect(JSON.parse((await call("/consume")).body)).toMatchObject({ remaining: 0, isExceeded: true });
  });

  it("max and timeWindow may be functions, keys numbers", async () => {
    const call = await app({
      max: async (_, key) => (String(key) === "7" ? 2 : 1),
      timeWindow: () => 30_000,
      keyGenerator: (request) => Number(request.headers["x-user"]),
    });
    expect(await statuses(() => call("/", { "x-user": "7" }), 3)).toEqual([200, 200, 429]);
    expect(await call("/", { "x-user": "8" })).toMatchObject({ status: 200, headers: limits(1, 0, 30) });
  });

  it("exponentialBackoff is an error that names block, for the plugin and for a route", async () => {
    await expect(app({ exponentialBackoff: true })).rejects.toThrow("block");
    const route = { config: { rateLimit: { exponentialBackoff: true } } };
    await expect(app({ global: false }, route)).rejects.toThrow("block");
  });
});

describe("Redis away", () => {
  it("fails within timeoutMs, so that skipOnError decides", async () => {
    const own = { timeoutMs: 100 };
    const [open, closed] = [
      await app({ max: 1, skipOnError: true }, {}, own),
      await app({ max: 1, skipOnError: false }, {}, own),
    ];
    server.freeze();
    try {
      const start = performance.now();
      expect(await statuses(open, 2)).toEqual([200, 200]);
      const failed = await closed();
      expect(failed).toMatchObject({ status: 500 });
      expect(failed.body).toContain("no answer within 100 ms");
      expect(performance.now() - start).toBeLessThan(3000);
    } finally {
      server.thaw();
    }
  });
});

describe("a cluster", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start();
  });
  afterAll(() => cluster?.stop());

  it.each(Object.entries(ofCluster))(
    "by %s: the script too reaches its node at the first try",
    async (_, connect) => {
      const connected = await connect(cluster.ports);
      const own = { client: connected.client, timeoutMs: 5000 };
      const user = (request: { headers: Record<string, unknown> }) => String(request.headers["x-user"]);
      const call = await app({ max: 1, continueExceeding: true, keyGenerator: user }, {}, own);
      await call("/", { "x-user": "warm-up" });
      const moved = await cluster.errors("MOVED");
      for (let i = 0; i < 20; i++) {
        expect(await statuses(() => call("/", { "x-user": `${_}${i}` }), 2)).toEqual([200, 429]);
      }
      expect(await cluster.errors("MOVED")).toBe(moved);
      await connected.end();
    },
  );
});
