import { createSentinel } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createLimiter,
  fixedWindow,
  type Limiter,
  LimiterError,
  leakyBucket,
  lease,
  slidingCounter,
  slidingLog,
  tokenBucket,
} from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { Server } from "./support/server.js";

let server: Server;
let hasLeases: boolean;
let hasBlocks: boolean;

beforeAll(async () => {
  server = await Server.start();
  hasLeases = await server.has("rl.lease");
  hasBlocks = await server.hasBlocks();
});
afterAll(() => server?.stop());

describe.each(Object.entries(ofOneServer))("a limiter on %s", (_name, connect) => {
  let connected: TestClient;
  let limiter: Limiter;

  beforeEach(async () => {
    server.clock.freeze();
    await server.call("FLUSHALL");
    connected = await connect(server.port);
    limiter = createLimiter(connected.client, { timeoutMs: 5000 });
  });
  afterEach(() => connected.end());

  it("allows up to the limit, then tells how long to wait", async () => {
    const limit = fixedWindow({ limit: 2, window: "1m" });
    expect(await limiter.consume("user:7", limit)).toEqual({
      allowed: true,
      granted: 1,
      limit: 2,
      remaining: 1,
      retryAfterMs: 0,
      delayMs: 0,
      resetAfterMs: 60_000,
      nextAfterMs: 60_000,
      used: 1,
      source: "redis",
      blocked: false,
    });
    await limiter.consume("user:7", limit);
    expect(await limiter.consume("user:7", limit)).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    server.clock.advance(59_999);
    expect(await limiter.consume("user:7", limit)).toMatchObject({ allowed: false, retryAfterMs: 1 });
    server.clock.advance(1);
    expect(await limiter.consume("user:7", limit)).toMatchObject({ allowed: true, used: 1 });
  });

  it("does all algorithms", async () => {
    const limits = [
      tokenBucket({ capacity: 10, refill: 5, period: "1s" }),
      leakyBucket({ capacity: 10, leak: 5, period: "1s" }),
      fixedWindow({ limit: 10, window: "1d", align: true, offset: "9h", name: "aligned" }),
      slidingCounter({ limit: 10, window: "1m" }),
      slidingLog({ limit: 10, window: "1m" }),
    ];
    for (const limit of limits) {
      expect(await limiter.consume("user:7", limit, { cost: 4 })).toMatchObject({
        allowed: true,
        remaining: 6,
      });
      expect(await limiter.peek("user:7", limit, { cost: 7 })).toMatchObject({ allowed: false, used: 4 });
    }
  });

  it("partial grants, force owes, refunds and settlements give back", async () => {
    const tokens = limiter.for("tokens", fixedWindow({ limit: 100, window: "1m" }));
    expect(await tokens.consume("u", { cost: 60 })).toMatchObject({ granted: 60 });
    expect(await tokens.consume("u", { cost: 60, mode: "partial" })).toMatchObject({
      allowed: true,
      granted: 40,
    });
    expect(await tokens.consume("u", { cost: 5, mode: "force" })).toMatchObject({
      allowed: false,
      used: 105,
    });
    expect(await tokens.refund("u", 25)).toMatchObject({ used: 80 });
    expect(await tokens.settle("u", { reserved: 60, actual: 90 })).toMatchObject({ used: 110 });
    expect(await tokens.settle("u", { reserved: 90, actual: 10 })).toMatchObject({ used: 30 });
    expect(await server.call("HKEYS", "rl:{u}")).toEqual(["fw:60000:tokens"]);
  });

  it("charges several limits, all or none", async () => {
    const items = [
      { key: "user:7", limit: fixedWindow({ limit: 100, window: "1m" }) },
      { key: "user:7", limit: slidingLog({ limit: 1, window: "15m", name: "login" }) },
    ];
    expect(await limiter.consumeAll(items)).toMatchObject({ allowed: true, refusedBy: null, atomic: true });
    expect(await limiter.consumeAll(items)).toMatchObject({
      allowed: false,
      refusedBy: 1,
      retryAfterMs: 900_000,
      decisions: [{ allowed: true, granted: 0, used: 1 }, { allowed: false }],
    });
    expect(await limiter.peekAll(items)).toMatchObject({ allowed: false, refusedBy: 1 });
  });

  it("resets a caller, or one limit", async () => {
    const a = limiter.for("a", fixedWindow({ limit: 1, window: "1m" }));
    const b = limiter.for("b", tokenBucket({ capacity: 1, refill: 1, period: "1m" }));
    const log = limiter.for("log", slidingLog({ limit: 1, window: "1m" }));
    for (const limit of [a, b, log]) await limit.consume("u");
    expect(await a.reset("u")).toBe(true);
    expect(await a.reset("u")).toBe(false);
    expect(await a.peek("u")).toMatchObject({ used: 0 });
    expect(await b.peek("u")).toMatchObject({ used: 1 });
    expect(await limiter.reset("u")).toBe(true);
    expect(await b.peek("u")).toMatchObject({ used: 0 });
    expect(await log.peek("u")).toMatchObject({ used: 1 });
    expect(await log.reset("u")).toBe(true);
  });

  it("keeps strange keys apart", async () => {
    const limit = fixedWindow({ limit: 5, window: "1m" });
    for (const key of ["{", "}", "a}b", "%7D", "zoë", " ", "\0", { tag: "a", id: "b" }]) {
      expect(await limiter.consume(key, limit)).toMatchObject({ used: 1 });
    }
  });

  it("throws mistakes, with command and key", async () => {
    await server.call("SET", "rl:{user:7}", "text");
    const error = await limiter.consume("user:7", fixedWindow({ limit: 5, window: "1m" })).catch((e) => e);
    expect(error).toBeInstanceOf(LimiterError);
    expect(error).toMatchObject({ command: "RL.FIXED", key: "rl:{user:7}" });
    expect(error.message).toContain("WRONGTYPE");
  });

  it("blocks, and follows overrides", async ({ skip }) => {
    skip(!hasBlocks, "the module has no BLOCK yet");
    const limit = fixedWindow({
      limit: 1,
      window: "1s",
      name: "login",
      block: { for: "5m" },
      override: true,
    });
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: true, blocked: false });
    expect(await limiter.consume("u", limit)).toMatchObject({ blocked: "now", retryAfterMs: 300_000 });
    expect(await limiter.consume("u", limit)).toMatchObject({ blocked: "already" });
    await server.call("DEL", "rl:block:login:{u}");
    await server.call("SET", "rl:override:login:{u}", "9");
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: true, limit: 9 });
  });

  it("takes a lease among other limits", async ({ skip }) => {
    skip(!hasLeases, "the module has no RL.LEASE yet");
    const calls = fixedWindow({ limit: 9, window: "1m" });
    const one = lease({ limit: 1, ttl: "60s", name: "exports" });
    const take = (id: string) =>
      limiter.consumeAll([
        { key: "u", limit: calls },
        { key: "u", limit: one, id },
      ]);
    expect(await take("holder-1")).toMatchObject({ allowed: true });
    expect(await take("holder-2")).toMatchObject({ allowed: false, refusedBy: 1, retryAfterMs: 60_000 });
  });
});

describe("a limiter on a Sentinel", () => {
  it("finds the primary", async () => {
    const sentinel = await Server.start({ sentinelOf: server });
    const client = createSentinel({
      name: "main",
      sentinelRootNodes: [{ host: "127.0.0.1", port: sentinel.port }],
    });
    await client.connect();
    const limiter = createLimiter(client, { timeoutMs: 5000 });
    const limit = fixedWindow({ limit: 5, window: "1m" });
    expect(await limiter.consume("by sentinel", limit)).toMatchObject({ source: "redis", used: 1 });
    expect(await limiter.peek("by sentinel", limit)).toMatchObject({ source: "redis", used: 1 });
    await client.close();
    await sentinel.stop();
  });
});

describe("a limiter", () => {
  it("tells what is wrong with its arguments before anything is sent", async () => {
    const client = { send: () => Promise.reject(new Error("sent")) };
    const limit = fixedWindow({ limit: 5, window: "1m" });
    expect(() => createLimiter(client, { prefix: "{" })).toThrow(LimiterError);
    expect(() => createLimiter(client, { timeoutMs: 0 })).toThrow("timeoutMs");
    expect(() => createLimiter(client, { onUnavailable: "opne" as "open" })).toThrow("onUnavailable");
    expect(() => createLimiter(client, { onUnavailible: "closed" } as never)).toThrow(
      new LimiterError(
        "onUnavailible is no option of createLimiter, which has prefix, timeoutMs, onUnavailable, breaker, denyCache, regions, metrics, onDecision",
      ),
    );
    expect(() => createLimiter(client, { timeout: 50 } as never)).toThrow("timeout is no option");
    expect(() => createLimiter(client, "closed" as never)).toThrow("options must be an object, not 'closed'");
    expect(() => createLimiter({} as typeof client)).toThrow("client must be");
    expect(() => createLimiter(client).for("no spaces", limit)).toThrow("name must be");
    const limiter = createLimiter(client);
    await expect(limiter.consume("", limit)).rejects.toThrow("key must be");
    await expect(limiter.consume({ tag: "", id: "x" }, limit)).rejects.toThrow("key.tag must be");
    await expect(limiter.consume("u", limit, { cost: 1.5 })).rejects.toThrow("cost must be");
    await expect(limiter.consume("u", limit, { mode: "FORCE" as "force" })).rejects.toThrow("mode must be");
    await expect(limiter.consume("u", { limit: 5 } as typeof limit)).rejects.toThrow("limit must be");
    await expect(limiter.consumeAll([])).rejects.toThrow("at least one");
    await expect(limiter.refund("u", limit, -1)).rejects.toThrow("units must be");
  });

  it.each([
    ["alone", {}],
    ["with a deny cache", { denyCache: {} }],
  ])("tells what to write instead, %s", async (_title, options) => {
    const limiter = createLimiter({ send: () => Promise.reject(new Error("sent")) }, options);
    const limit = fixedWindow({ limit: 5, window: "1m", name: "api" });
    const one = lease({ limit: 1, ttl: "1m" });
    const ahead = limiter.for("ahead", limit, { prefetch: { units: 5 } });
    const mistakes: [Promise<unknown>, string][] = [
      [limiter.consume("u", limit, 2 as never), "charge must be an object, not 2: write { cost: 2 }"],
      [limiter.consume("u", limit, null as never), "write { cost: 1 }"],
      [
        limiter.consume("u", limit, { costs: 2 } as never),
        "costs is no option of a charge, which has cost, mode",
      ],
      [limiter.for("u", limit).consume("u", 2 as never), "write { cost: 2 }"],
      [ahead.consume("u", 2 as never), "write { cost: 2 }"],
      [limiter.peek("u", limit, 2 as never), "write { cost: 2 }"],
      [limiter.consumeAll([{ key: "u", limit, costs: 2 } as never]), "costs is no option of an item"],
      [limiter.consumeAll([limit as never]), "write { key, limit }"],
      [limiter.consumeAll(["u" as never]), "write { key, limit }"],
      [limiter.consume("u", one as never), "take it by acquire()"],
      [limiter.peek("u", one as never), "take it by acquire()"],
      [limiter.consume(7 as never, limit), "key must be a string or { tag, id }, not 7"],
      [limiter.consume(undefined as never, limit), "key must be a string or { tag, id }, not undefined"],
      [limiter.consume("u", undefined as never), "limit must be made by"],
      [limiter.consumeAll([{ key: "u", limit: undefined as never }]), "limit must be made by"],
      [
        limiter.consumeAll([
          { key: "u", limit },
          { key: "u", limit: { ...limit, limit: 9 } },
        ]),
        "api is given twice for rl:{u}: give each limit a name of its own",
      ],
    ];
    for (const [call, text] of mistakes) {
      await expect(call).rejects.toThrow(LimiterError);
      await expect(call).rejects.toThrow(text);
    }
  });

  it("says that the module is not loaded", async () => {
    const bare = await Server.start({ withoutModule: true });
    const { client, end } = await ofOneServer.ioredis!(bare.port);
    const limiter = createLimiter(client, { timeoutMs: 5000 });
    await expect(limiter.consume("u", fixedWindow({ limit: 5, window: "1m" }))).rejects.toThrow(
      "has not loaded",
    );
    await end();
    await bare.stop();
  });
});
