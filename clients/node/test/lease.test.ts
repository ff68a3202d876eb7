import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createLimiter, fixedWindow, type Lease, type Limiter, lease } from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { fakeClient } from "./support/fakes.js";
import { Server } from "./support/server.js";

const exports = lease({ limit: 2, ttl: "60s", name: "exports" });
const held = async (limiter: Limiter, id?: string) => {
  const answer = await limiter.acquire("acme", exports, id === undefined ? {} : { id });
  if (!answer.allowed) throw new Error("refused");
  return answer as Lease;
};

describe("leases, on a server", () => {
  let server: Server;
  let connected: TestClient;
  let limiter: Limiter;
  let hasLeases: boolean;

  beforeAll(async () => {
    server = await Server.start();
    hasLeases = await server.has("rl.lease");
    connected = await ofOneServer["node-redis"]!(server.port);
  });
  afterAll(async () => {
    await connected?.end();
    await server?.stop();
  });
  beforeEach(async ({ skip }) => {
    skip(!hasLeases, "the module has no RL.LEASE yet");
    await server.call("FLUSHALL");
    server.clock.freeze();
    limiter = createLimiter(connected.client, { timeoutMs: 5000 });
  });

  it("are taken, renewed and released; the next is told how long to wait", async () => {
    const first = await held(limiter);
    expect(first).toMatchObject({ allowed: true, limit: 2, used: 1, remaining: 1, source: "redis" });
    server.clock.advance(10_000);
    const second = await held(limiter);
    expect(second.id).not.toBe(first.id);
    expect(await limiter.acquire("acme", exports)).toMatchObject({
      allowed: false,
      retryAfterMs: 50_000,
      used: 2,
    });
    expect(await first.renew()).toBe(true);
    expect(await limiter.acquire("acme", exports)).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    expect(await second.release()).toBe(true);
    expect(await second.release()).toBe(false);
    expect(await second.renew()).toBe(false);
    expect((await limiter.acquire("acme", exports)).allowed).toBe(true);
    expect(await server.call("KEYS", "*")).toEqual(["rl:lease:exports:{acme}"]);
  });

  it("end with their ttl, and are then not taken anew by renew", async () => {
    const first = await held(limiter);
    server.clock.advance(60_000);
    expect(await first.renew()).toBe(false);
    expect(await first.renew()).toBe(false);
    expect(await first.release()).toBe(false);
  });

  it("are released once by several calls at a time, after a renewal under way", async () => {
    const first = await held(limiter);
    const renewing = first.renew();
    expect(await Promise.all([first.release(), first.release(), renewing])).toEqual([true, false, true]);
    expect(await server.call("EXISTS", "rl:lease:exports:{acme}")).toBe(0);
  });

  it("are disposed of by the runtime", async ({ skip }) => {
    skip(!Symbol.asyncDispose, "this Node.js has no Symbol.asyncDispose");
    const first = await held(limiter);
    await first[Symbol.asyncDispose]();
    expect(await first.release()).toBe(false);
  });

  it("go on by their id, also what consumeAll took", async () => {
    const calls = fixedWindow({ limit: 9, window: "1m" });
    await limiter.consumeAll([
      { key: "acme", limit: calls },
      { key: "acme", limit: exports, id: "job-1" },
    ]);
    const first = await held(limiter, "job-1");
    expect(first.used).toBe(1);
    expect(await first.release()).toBe(true);
  });

  it("are bound by for()", async () => {
    const jobs = limiter.for("jobs", lease({ limit: 1, ttl: "60s" }));
    expect((await jobs.acquire("u")).allowed).toBe(true);
    expect((await jobs.acquire("u")).allowed).toBe(false);
    expect(await jobs.reset("u")).toBe(true);
    expect((await jobs.acquire("u", { id: "me" })).allowed).toBe(true);
  });

  it("follow an override", async ({ skip }) => {
    const jobs = limiter.for("jobs", lease({ limit: 1, ttl: "60s", override: true }));
    await jobs.override("u", { limit: 2, for: "1h" });
    const [first, second] = [await jobs.acquire("u"), await jobs.acquire("u")];
    skip(!(await server.hasBlocks()), "the module has no OVERRIDE yet");
    expect([first.allowed, second.allowed, second.limit]).toEqual([true, true, 2]);
  });

  it("taken while Redis was away are taken there by renew, if they fit", async () => {
    for (const onUnavailable of ["open", { memory: { share: 1 } }] as const) {
      await server.call("FLUSHALL");
      const own = await ofOneServer["node-redis"]!(server.port);
      const other = createLimiter(own.client, { timeoutMs: 100, onUnavailable, breaker: false });
      await other.peek("warm-up", fixedWindow({ limit: 1, window: "1m" }));
      server.freeze();
      const lent = await held(other);
      expect(lent.source).toBe(onUnavailable === "open" ? "open" : "memory");
      server.thaw();
      await vi.waitFor(async () => expect(await server.call("PING")).toBe("PONG"));
      expect(await lent.renew()).toBe(true);
      expect(await server.call("ZCARD", "rl:lease:exports:{acme}")).toBe(1);
      expect(await lent.release()).toBe(true);
      expect(await server.call("EXISTS", "rl:lease:exports:{acme}")).toBe(0);
      await own.end();
    }
  });
});

describe("leases, Redis away", () => {
  const away = () => new Error("LOADING");

  it("open: nothing is there to release; renew cannot promise", async () => {
    const client = fakeClient(away);
    const lent = await held(createLimiter(client, { onUnavailable: "open" }));
    expect(lent.source).toBe("open");
    expect(await lent.renew()).toBe(false);
    expect(await lent.release()).toBe(true);
    expect(client.sent.map(([name]) => name)).toEqual(["RL.LEASE", "RL.LEASE"]);
  });

  it("closed: refused", async () => {
    const limiter = createLimiter(fakeClient(away), { onUnavailable: "closed" });
    expect(await limiter.acquire("acme", exports)).toMatchObject({ allowed: false, source: "closed" });
  });

  it("memory: holders are counted here", async () => {
    const limiter = createLimiter(fakeClient(away), { onUnavailable: { memory: { share: 1 / 2 } } });
    const first = await held(limiter);
    expect(first.source).toBe("memory");
    expect((await limiter.acquire("acme", exports)).allowed).toBe(false);
    expect(await first.renew()).toBe(true);
    expect(await first.release()).toBe(true);
    expect((await limiter.acquire("acme", exports)).allowed).toBe(true);
  });

  it("what was refused by a time-out is released, lest it be held by nobody", async () => {
    const client = fakeClient(([name]) => (name === "RL.LEASE" ? new Promise(() => {}) : 1));
    const limiter = createLimiter(client, { onUnavailable: "closed", timeoutMs: 20 });
    expect((await limiter.acquire("acme", exports, { id: "me" })).allowed).toBe(false);
    expect(client.sent.at(-1)).toEqual(["RL.RELEASE", "rl:lease:exports:{acme}", "me"]);
  });

  it("a release that fails may be tried again", async () => {
    let isAway = false;
    const client = fakeClient(([name]) =>
      isAway ? away() : name === "RL.RELEASE" ? 1 : [1, 2, 1, 0, 9, 9, 1],
    );
    const first = await held(createLimiter(client));
    isAway = true;
    expect(await first.release()).toBe(false);
    isAway = false;
    expect(await first.release()).toBe(true);
  });

  it("names what is wrong", async () => {
    const limiter = createLimiter(fakeClient(away));
    await expect(limiter.acquire("u", exports, { id: "" })).rejects.toThrow("id must be");
    await expect(limiter.acquire("u", exports, { id: "é".repeat(65) })).rejects.toThrow("id must be");
    expect(() => limiter.for("jobs", exports as never, { prefetch: { units: 5 } })).toThrow("prefetch");
  });
});
