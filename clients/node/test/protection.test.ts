import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createLimiter,
  fixedWindow,
  type Limiter,
  slidingLog,
  tokenBucket,
  UnavailableError,
} from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { fakeClient } from "./support/fakes.js";
import { Server } from "./support/server.js";

const login = fixedWindow({ limit: 1, window: "15m", name: "login", block: { for: "5m" }, override: true });
const log = slidingLog({ limit: 1, window: "15m", name: "log", block: { for: "5m" }, override: true });
const bucket = tokenBucket({ capacity: 5, refill: 5, period: "1m", name: "bucket", override: true });

describe("block and override, on a server", () => {
  let server: Server;
  let connected: TestClient;
  let limiter: Limiter;
  let has: boolean;

  beforeAll(async () => {
    server = await Server.start();
    has = await server.hasBlocks();
    connected = await ofOneServer.ioredis!(server.port);
  });
  afterAll(async () => {
    await connected?.end();
    await server?.stop();
  });
  beforeEach(async ({ skip }) => {
    skip(!has, "the module has no BLOCK yet");
    await server.call("FLUSHALL");
    server.clock.freeze();
    limiter = createLimiter(connected.client, { timeoutMs: 5000 });
  });

  it.each([login, log])("blocks by hand and pardons: $name", async (limit) => {
    await limiter.block("u", limit, "10m");
    const blocked = await limiter.consume("u", limit);
    expect(blocked).toMatchObject({ allowed: false, blocked: "already" });
    expect(blocked.retryAfterMs).toBeGreaterThan(599_000);
    expect(blocked.retryAfterMs).toBeLessThanOrEqual(600_001);
    expect(await limiter.unblock("u", limit)).toBe(true);
    expect(await limiter.unblock("u", limit)).toBe(false);
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: true });
    expect(await limiter.consume("u", limit)).toMatchObject({ blocked: "now" });
    expect(await limiter.unblock("u", limit)).toBe(true);
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: true, used: 1 });
  });

  it.each([login, log])("overrides for a while, and clears: $name", async (limit) => {
    const bound = limiter.for("other", limit);
    await bound.override("u", { limit: 50, for: "1h" });
    expect(await bound.consume("u")).toMatchObject({ limit: 50 });
    expect(await bound.consume("v")).toMatchObject({ limit: 1 });
    server.clock.advance(3_600_001);
    expect(await bound.consume("u")).toMatchObject({ limit: 1 });
    await bound.override("u", { limit: 9 });
    expect(await bound.peek("u")).toMatchObject({ limit: 9 });
    expect(await bound.clearOverride("u")).toBe(true);
    expect(await bound.clearOverride("u")).toBe(false);
    expect(await bound.peek("u")).toMatchObject({ limit: 1 });
  });

  it("overrides a bucket's rate too", async () => {
    await limiter.override("u", bucket, { limit: 10, rate: 60 });
    expect(await limiter.consume("u", bucket, { cost: 10 })).toMatchObject({ limit: 10, nextAfterMs: 1000 });
  });
});

describe("block and override", () => {
  it("throw where Redis is away", async () => {
    const limiter = createLimiter(fakeClient(() => new Error("LOADING")));
    await expect(limiter.block("u", login, "5m")).rejects.toThrow(UnavailableError);
    await expect(limiter.unblock("u", login)).rejects.toThrow(UnavailableError);
    await expect(limiter.override("u", login, { limit: 5 })).rejects.toThrow(UnavailableError);
    await expect(limiter.clearOverride("u", login)).rejects.toThrow(UnavailableError);
    await expect(limiter.reset("u")).rejects.toThrow(UnavailableError);
  });

  it("name what is wrong", async () => {
    const limiter = createLimiter(fakeClient(() => "OK"));
    const plain = fixedWindow({ limit: 5, window: "1m" });
    await expect(limiter.block("u", plain, "5m")).rejects.toThrow("option block");
    await expect(limiter.unblock("u", plain)).rejects.toThrow("option block");
    await expect(limiter.block("u", login, "5" as "5m")).rejects.toThrow("for must be");
    await expect(limiter.override("u", plain, { limit: 5 })).rejects.toThrow("override: true");
    await expect(limiter.override("u", login, { limit: -5 })).rejects.toThrow("limit must be");
    await expect(limiter.override("u", login, { limit: 5, rate: 5 })).rejects.toThrow("rate is for buckets");
    const misspelt = { limit: 5, form: "1h" } as { limit: number };
    await expect(limiter.override("u", login, misspelt)).rejects.toThrow("form is no option");
    await expect(limiter.override("u", login, 9 as never)).rejects.toThrow("write { limit: 9 }");
    await expect(limiter.override("u", bucket, { limit: 5, rate: 0 })).rejects.toThrow("rate must be");
  });
});
