import express, { type NextFunction, type Request, type Response } from "express";
import { type Options, rateLimit, type Store } from "express-rate-limit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import {
  ExpressRateLimitStore,
  LimiterError,
  type ExpressRateLimitStoreOptions as Own,
  UnavailableError,
} from "../../src/stores/express-rate-limit.js";
import { ofCluster, ofOneServer } from "../support/clients.js";
import { Cluster, type Server } from "../support/server.js";
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

function store(options: Partial<Own> = {}, windowMs = 60_000): ExpressRateLimitStore {
  const made = new ExpressRateLimitStore({ client, timeoutMs: PATIENT_MS, ...options });
  made.init({ windowMs } as Options);
  return made;
}

function app(options: Partial<Options>, own: Partial<Own> = {}) {
  const made = express();
  made.use(
    rateLimit({
      windowMs: 60_000,
      store: new ExpressRateLimitStore({ client, timeoutMs: PATIENT_MS, ...own }),
      ...options,
    }),
  );
  made.get("/", (_, response) => void response.send("hello"));
  made.get("/fail", (_, response) => void response.status(500).send("sorry"));
  made.use((error: Error, _: Request, response: Response, _next: NextFunction) => {
    response.status(503).send(error.name);
  });
  return serve(made);
}

describe("the store, as rate-limit-redis' tests have it", () => {
  it("satisfies express-rate-limit's interface", () => {
    expectTypeOf<ExpressRateLimitStore>().toExtend<Store>();
  });

  it("puts its prefix before the caller", async () => {
    expect(store().prefix).toBe("rl:");
    await store({ prefix: "test-" }).increment("store");
    expect(await client.keys("*")).toEqual(["test-{store}"]);
  });

  it("counts from 1, and each key expires", async () => {
    const made = store({}, 10_000);
    const before = Date.now();
    const first = await made.increment("caller");
    expect(first.totalHits).toBe(1);
    expect(first.resetTime.getTime()).toBeGreaterThanOrEqual(before + 10_000);
    expect(first.resetTime.getTime()).toBeLessThan(before + 15_000);
    expect((await made.increment("caller")).totalHits).toBe(2);
    expect((await made.increment("other")).totalHits).toBe(1);
    expect(await client.pTTL("rl:{caller}")).toBeGreaterThan(0);
  });

  it("takes a call back, never below zero, and makes no key by it", async () => {
    const made = store();
    await made.decrement("caller");
    expect(await client.keys("*")).toEqual([]);
    await made.increment("caller");
    await made.increment("caller");
    await made.decrement("caller");
    expect((await made.increment("caller")).totalHits).toBe(2);
  });

  it("resets a caller, and leaves others and other limits alone", async () => {
    const [minutes, hours] = [store(), store({}, 3_600_000)];
    for (const made of [minutes, hours]) await made.increment("caller");
    await minutes.increment("other");
    await minutes.resetKey("caller");
    expect((await minutes.increment("caller")).totalHits).toBe(1);
    expect((await minutes.increment("other")).totalHits).toBe(2);
    expect((await hours.increment("caller")).totalHits).toBe(2);
  });

  it("tells what is counted, and counts nothing by it", async () => {
    const made = store();
    expect(await made.get("caller")).toBeUndefined();
    await made.increment("caller");
    await made.increment("caller");
    for (let i = 0; i < 2; i++) {
      expect(await made.get("caller")).toMatchObject({ totalHits: 2, resetTime: expect.any(Date) });
    }
  });

  it("starts a new window when the old one has ended, not before, however much is denied", async () => {
    const made = store({}, 50);
    for (let i = 1; i <= 5; i++) expect((await made.increment("caller")).totalHits).toBe(i);
    server.clock.advance(49);
    expect((await made.increment("caller")).totalHits).toBe(6);
    server.clock.advance(1);
    expect((await made.increment("caller")).totalHits).toBe(1);
  });

  it("counts each of many calls at once", async () => {
    const made = store();
    const counts = await Promise.all(Array.from({ length: 100 }, () => made.increment("caller")));
    expect(new Set(counts.map(({ totalHits }) => totalHits)).size).toBe(100);
  });

  it("slides, where told to", async () => {
    server.clock.freeze(Math.ceil(Date.now() / 60_000 + 5) * 60_000); // Its windows begin at full minutes.
    const made = store({ algorithm: "slidingCounter" });
    for (let i = 0; i < 10; i++) await made.increment("caller");
    server.clock.advance(60_000 + 30_000);
    expect(await made.get("caller")).toMatchObject({ totalHits: 5 });
    server.clock.advance(60_000);
    expect(await made.get("caller")).toBeUndefined();
  });

  it("takes any caller's name", async () => {
    const made = store();
    for (const name of ["", "2001:db8::/56", "a{b}c", "100%", "ключ", "x".repeat(1000)]) {
      expect((await made.increment(name)).totalHits, name).toBe(1);
      expect((await made.increment(name)).totalHits, name).toBe(2);
    }
  });

  it("throws what names the mistake", async () => {
    expect(() => new ExpressRateLimitStore({ client, algorithm: "log" as never })).toThrow("algorithm");
    expect(() => new ExpressRateLimitStore({ client, prefix: "{x}" })).toThrow("prefix");
    expect(() => new ExpressRateLimitStore({ client, timeoutMs: 0 })).toThrow("timeoutMs");
    expect(() => new ExpressRateLimitStore({ client: {} as never })).toThrow("client");
    expect(() => store({}, 0)).toThrow("windowMs");
    await expect(new ExpressRateLimitStore({ client }).increment("u")).rejects.toThrow(LimiterError);
    await client.set("rl:{u}", "mine");
    await expect(store().increment("u")).rejects.toThrow("WRONGTYPE");
  });
});

describe("express-rate-limit over HTTP", () => {
  it("denies above the limit, and lets pass again when the window has ended", async () => {
    const call = await app({ limit: 2, standardHeaders: "draft-8", identifier: "two" });
    expect(await statuses(call, 3)).toEqual([200, 200, 429]);
    const denied = await call();
    expect(denied.headers["retry-after"]).toBe("60");
    expect(denied.headers.ratelimit).toBe('"two"; r=0; t=60');
    expect(denied.headers["ratelimit-policy"]).toMatch(/^"two"; q=2; w=60/);
    server.clock.advance(60_000);
    expect(await statuses(call, 3)).toEqual([200, 200, 429]);
  });

  it("draft-6 and the older headers tell the same", async () => {
    const call = await app({ limit: 5, standardHeaders: "draft-6", legacyHeaders: true });
    const { headers } = await call();
    expect(headers).toMatchObject({
      "ratelimit-limit": "5",
      "ratelimit-remaining": "4",
      "ratelimit-reset": "60",
      "x-ratelimit-limit": "5",
      "x-ratelimit-remaining": "4",
    });
  });

  it("a limit may be a function of the request", async () => {
    const call = await app({
      limit: (request: Request) => (request.get("x-plan") === "pro" ? 3 : 1),
      keyGenerator: (request: Request) => request.get("x-plan") ?? "free",
    });
    expect(await statuses(() => call("/", { "x-plan": "pro" }), 4)).toEqual([200, 200, 200, 429]);
    expect(await statuses(call, 2)).toEqual([200, 429]);
  });

  it("skipFailedRequests gives failed ones back", async () => {
    const call = await app({ limit: 2, skipFailedRequests: true });
    expect(await statuses(() => call("/fail"), 4)).toEqual([500, 500, 500, 500]);
    await vi.waitFor(async () => expect(await client.keys("*")).toEqual([]));
    expect(await statuses(call, 3)).toEqual([200, 200, 429]);
  });

  it("skipSuccessfulRequests gives those back that did not fail", async () => {
    const call = await app({ limit: 2, skipSuccessfulRequests: true });
    for (let i = 0; i < 4; i++) {
      expect((await call()).status).toBe(200);
      await vi.waitFor(async () => expect(await client.keys("*")).toEqual([]));
    }
  });

  it("two limiters on one application count apart, by their prefixes", async () => {
    const made = express();
    for (const [prefix, limit] of [
      ["rl:burst:", 1],
      ["rl:day:", 5],
    ] as const) {
      made.use(
        rateLimit({
          windowMs: 1000,
          limit,
          store: new ExpressRateLimitStore({ client, prefix, timeoutMs: PATIENT_MS }),
        }),
      );
    }
    made.get("/", (_, response) => void response.send("hello"));
    const call = await serve(made);
    expect(await statuses(call, 2)).toEqual([200, 429]);
    expect((await client.keys("*")).length).toBe(2);
  });

  it("resetKey and getKey of the middleware reach the store", async () => {
    const limiter = rateLimit({
      windowMs: 60_000,
      limit: 1,
      keyGenerator: () => "me",
      store: new ExpressRateLimitStore({ client, timeoutMs: PATIENT_MS }),
    });
    const made = express();
    made.use(limiter);
    made.get("/", (_, response) => void response.send("hello"));
    const call = await serve(made);
    expect(await statuses(call, 2)).toEqual([200, 429]);
    expect(await limiter.getKey("me")).toMatchObject({ totalHits: 2 });
    await limiter.resetKey("me");
    await vi.waitFor(async () => expect(await limiter.getKey("me")).toBeUndefined());
    expect(await statuses(call, 2)).toEqual([200, 429]);
  });
});

describe("Redis away", () => {
  const logger = { error: () => {}, warn: () => {} };

  it("throws within timeoutMs, so that passOnStoreError decides", async () => {
    const own = { timeoutMs: 100 };
    const [open, closed] = [
      await app({ limit: 1, passOnStoreError: true, logger }, own),
      await app({ limit: 1, passOnStoreError: false, logger }, { ...own, prefix: "rl:closed:" }),
    ];
    server.freeze();
    try {
      const start = performance.now();
      expect(await statuses(open, 2)).toEqual([200, 200]);
      const refused = await closed();
      expect(refused).toMatchObject({ status: 503, body: "UnavailableError" });
      expect(performance.now() - start).toBeLessThan(3000);
      await expect(store(own).increment("u")).rejects.toThrow(UnavailableError);
    } finally {
      server.thaw();
    }
  });
});

describe.each(Object.entries(ofOneServer))("by %s", (_name, connect) => {
  it("counts, tells, takes back and resets", async () => {
    const connected = await connect(server.port);
    const made = store({ client: connected.client, timeoutMs: 5000 });
    await made.increment("u");
    expect((await made.increment("u")).totalHits).toBe(2);
    await made.decrement("u");
    expect(await made.get("u")).toMatchObject({ totalHits: 1 });
    await made.resetKey("u");
    expect(await made.get("u")).toBeUndefined();
    await connected.end();
  });
});

describe("a cluster", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start();
  });
  afterAll(() => cluster?.stop());

  it.each(Object.entries(ofCluster))(
    "by %s: every call reaches its node at the first try",
    async (_, connect) => {
      const connected = await connect(cluster.ports);
      const made = store({ client: connected.client, timeoutMs: 5000 });
      await made.increment("warm-up");
      const moved = await cluster.errors("MOVED");
      for (let i = 0; i < 50; i++) {
        await made.increment(`u${i}`);
        expect(await made.get(`u${i}`)).toMatchObject({ totalHits: 1 });
        await made.resetKey(`u${i}`);
      }
      expect(await cluster.errors("MOVED")).toBe(moved);
      await connected.end();
    },
  );
});
