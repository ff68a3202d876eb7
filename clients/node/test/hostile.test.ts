import { Redis as IoValkey } from "iovalkey";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createLimiter,
  fixedWindow,
  fromEnv,
  type Lease,
  LimiterError,
  lease,
  rateLimitHeaders,
  tokenBucket,
} from "../src/index.js";
import { fetchWithRetry } from "../src/retry.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { fakeClient } from "./support/fakes.js";
import { Server } from "./support/server.js";

const minute = fixedWindow({ limit: 100, window: "1m", name: "minute" });
const never = () => new Promise<never>(() => {});

describe("no call waits longer than timeoutMs", () => {
  const timeoutMs = 100;
  const took = async (call: Promise<unknown>) => {
    const start = performance.now();
    await call.catch(() => {});
    return performance.now() - start;
  };
  const most = timeoutMs + 50;
  // A call that a fake client never answers keeps no process alive.
  let alive: ReturnType<typeof setInterval>;
  beforeAll(() => {
    alive = setInterval(() => {}, 1000);
  });
  afterAll(() => clearInterval(alive));

  it("a lease's release behind a renewal", async () => {
    const client = fakeClient((_, n) => (n === 1 ? [1, 5, 4, 0, 1000, 1000, 1] : never()));
    const held = (await createLimiter(client, { timeoutMs }).acquire(
      "a",
      lease({ limit: 5, ttl: "60s" }),
    )) as Lease;
    const calls = [held.renew(), held.renew(), held.release()].map(took);
    expect(Math.max(...(await Promise.all(calls)))).toBeLessThan(most);
  });

  it("unblock, which is two commands", async () => {
    const slow = fakeClient((_, n) => (n === 1 ? new Promise((go) => setTimeout(() => go(1), 80)) : never()));
    const limit = fixedWindow({ limit: 1, window: "1m", block: { for: "1m" } });
    expect(await took(createLimiter(slow, { timeoutMs }).unblock("a", limit))).toBeLessThan(most);
  });

  it("a call that finds too few units ahead", async () => {
    const reply = [3, 5, 0, 0, 60_000, 60_000, 5];
    const slow = fakeClient((_, n) =>
      n === 1 ? new Promise((go) => setTimeout(() => go(reply), 80)) : never(),
    );
    const hot = createLimiter(slow, { timeoutMs }).for("hot", minute, { prefetch: { units: 5 } });
    expect(await took(hot.consume("a", { cost: 4 }))).toBeLessThan(most);
  });
});

it("halves of surrogate pairs are callers of their own: UTF-8 makes one of them all", async () => {
  const client = fakeClient(() => [1, 5, 4, 0, 1000, 1000, 1]);
  const limiter = createLimiter(client);
  const names = ["\ud800", "\ud801", "\ufffd", "%uD800", "😀", "😀".slice(1)];
  for (const name of names) await limiter.consume(name, minute);
  const keys = client.sent.map(([, key]) => Buffer.from(key as string).toString());
  expect(keys).toEqual(
    ["%uD800", "%uD801", "\ufffd", "%25uD800", "😀", "%uDE00"].map((key) => `rl:{${key}}`),
  );
});

it("a bucket that takes longer to fill than a duration may be has a name in headers", () => {
  const limit = tokenBucket({ capacity: 5000, refill: 1, period: "1d" });
  const decision = {
    allowed: true,
    granted: 1,
    limit: 5000,
    remaining: 4999,
    retryAfterMs: 0,
    delayMs: 0,
    resetAfterMs: 86_400_000,
    nextAfterMs: 86_400_000,
    used: 1,
    source: "redis",
    blocked: false,
  } as const;
  expect(rateLimitHeaders([{ limit, decision }])["RateLimit-Policy"]).toBe(
    '"5000-in-5000d";q=5000;w=432000000',
  );
});

it("a call that asks a limit twice is a mistake, whether Redis is there or not", async () => {
  const away = fakeClient(() => new Error("no connection"));
  const limiter = createLimiter(away, { onUnavailable: { memory: { share: 1 } } });
  const three = fixedWindow({ limit: 3, window: "1m", name: "three" });
  const twice = limiter.consumeAll([
    { key: "a", limit: three, cost: 2 },
    { key: "a", limit: three, cost: 2 },
  ]);
  await expect(twice).rejects.toThrow("three is given twice for rl:{a}: give each limit a name of its own");
  expect(await limiter.consume("a", three, { cost: 3 })).toMatchObject({ allowed: true, source: "memory" });
});

it("fetchWithRetry sends no stream twice, of whatever kind", async () => {
  let sent = 0;
  const fetch = async () => {
    sent++;
    return new Response(null, { status: 429, headers: { "Retry-After": "0" } });
  };
  async function* body() {
    yield new Uint8Array(1);
  }
  const init = { method: "PUT", body: body(), duplex: "half" } as unknown as RequestInit;
  expect((await fetchWithRetry("http://localhost", init, { fetch })).status).toBe(429);
  expect(sent).toBe(1);
});

describe("on a server", () => {
  let server: Server;
  let connected: TestClient;
  beforeAll(async () => {
    server = await Server.start();
    connected = await ofOneServer["node-redis"]!(server.port);
  });
  afterAll(async () => {
    await connected?.end();
    await server?.stop();
  });
  beforeEach(() => server.call("FLUSHALL"));

  it("a client that subscribes is a mistake, not a Redis that is away: all would pass", async () => {
    const client = new IoValkey(server.port, "127.0.0.1");
    await client.subscribe("news");
    await expect(createLimiter(client).consume("a", minute)).rejects.toThrow(LimiterError);
    client.disconnect();
  });

  it("a block holds for units taken ahead, which are given back", async () => {
    const limiter = createLimiter(connected.client, { timeoutMs: 5000 });
    const limit = fixedWindow({ limit: 100, window: "1h", block: { for: "1m" } });
    const hot = limiter.for("hot", limit, { prefetch: { units: 50, maxMs: 60_000 } });
    expect(await hot.consume("a")).toMatchObject({ allowed: true });
    await hot.block("a", "5m");
    expect(await hot.consume("a")).toMatchObject({ allowed: false, blocked: "already" });
    await limiter.close();
  });

  it("a new override holds for units taken ahead", async () => {
    const limiter = createLimiter(connected.client, { timeoutMs: 5000 });
    const limit = fixedWindow({ limit: 100, window: "1h", override: true });
    const hot = limiter.for("hot", limit, { prefetch: { units: 50, maxMs: 60_000 } });
    await hot.consume("a");
    await hot.override("a", { limit: 1 });
    expect(await hot.consume("a")).toMatchObject({ allowed: false, limit: 1, used: 1 });
    await limiter.close();
  });

  it("close waits for units that are just being taken, and gives them back", async () => {
    const limiter = createLimiter(connected.client, { timeoutMs: 5000 });
    const hot = limiter.for("hot", fixedWindow({ limit: 100, window: "1h" }), { prefetch: { units: 50 } });
    const call = hot.consume("a");
    await new Promise((resolve) => setImmediate(resolve));
    await limiter.close();
    await call;
    expect(await createLimiter(connected.client).peek("a", hot.limit)).toMatchObject({ used: 1 });
  });

  it("fromEnv's ddos limit blocks who goes on though he is refused, where it is asked first, by itself", async () => {
    const { limits } = fromEnv({ RATE_LIMIT_MAX_REQUESTS: "2", DDOS_THRESHOLD: "5" });
    const [normal, ddos] = limits;
    const limiter = createLimiter(connected.client, { timeoutMs: 5000 });
    const calls: string[] = [];
    for (let i = 0; i < 6; i++) {
      const first = await limiter.consume("a", ddos!);
      const last = first.allowed ? await limiter.consume("a", normal!) : first;
      calls.push(last.blocked || String(last.allowed));
    }
    expect(calls).toEqual(["true", "true", "false", "false", "false", "now"]);
  });
});
