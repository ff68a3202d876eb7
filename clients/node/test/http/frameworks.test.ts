import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLimiter, fixedWindow, type LimiterOptions, slidingLog, tokenBucket } from "../../src/index.js";
import {
  type AnyOptions,
  type AppOptions,
  abandoned,
  frameworks,
  header,
  type Running,
} from "../support/http.js";
import { eventually, Server, sleep } from "../support/server.js";

let server: Server;
let canBlock: boolean;
let client: ReturnType<typeof createClient>;

beforeAll(async () => {
  server = await Server.start();
  server.clock.freeze();
  canBlock = await server.call("RL.FIXED", "rl:{x}", "1", "1m", "BLOCK", "rl:block:x:{x}", "1m").then(
    () => true,
    () => false,
  );
  client = createClient({ url: server.url });
  await client.connect();
});
afterAll(async () => {
  client?.destroy();
  await server?.stop();
});

const three = fixedWindow({ limit: 3, window: "1m", name: "api" });
const QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded";

describe.each(Object.entries(frameworks))("%s", (_framework, serve) => {
  let app: Running;

  beforeEach(() => server.call("FLUSHALL"));
  afterEach(() => app?.close());

  async function start(
    options: AnyOptions,
    { limiter = {}, ...appOptions }: AppOptions & { limiter?: LimiterOptions } = {},
  ) {
    app = await serve(createLimiter(client, { timeoutMs: 5000, ...limiter }), options, appOptions);
  }
  const get = (headers: Record<string, string> = {}, path = "/hello", method = "GET") =>
    fetch(app.url + path, { method, headers });
  const statuses = async (count: number, headers: Record<string, string> = {}) => {
    const all: number[] = [];
    for (let i = 0; i < count; i++) all.push((await get(headers)).status);
    return all;
  };
  const limitHeaders = (response: Response) =>
    Object.fromEntries([...response.headers].filter(([name]) => /^(x-)?ratelimit|^retry-after/.test(name)));

  it("allows up to the limit, denies until the wait that it tells is over", async () => {
    await start({ limits: three });
    const first = await get();
    expect(first.status).toBe(200);
    expect(await first.text()).toBe("hello");
    expect(limitHeaders(first)).toEqual({
      "ratelimit-policy": '"api";q=3;w=60',
      ratelimit: '"api";r=2;t=60',
    });
    server.clock.advance(7_500);
    expect((await get()).headers.get("ratelimit")).toBe('"api";r=1;t=53');
    await get();
    const denied = await get();
    expect(denied.status).toBe(429);
    expect(limitHeaders(denied)).toEqual({
      "ratelimit-policy": '"api";q=3;w=60',
      ratelimit: '"api";r=0;t=53',
      "retry-after": "53",
    });
    expect(denied.headers.get("content-type")).toBe("application/problem+json");
    expect(await denied.json()).toEqual({
      type: QUOTA,
      title: "Quota Exceeded",
      status: 429,
      "violated-policies": ["api"],
    });
    server.clock.advance(52_499);
    expect((await get()).headers.get("retry-after")).toBe("1");
    expect(app.handled()).toBe(3);
    server.clock.advance(1);
    expect((await get()).headers.get("ratelimit")).toBe('"api";r=2;t=60');
  });

  it("puts the decisions on the request", async () => {
    await start({ limits: three, key: () => "acme" });
    await get();
    expect(app.state()).toMatchObject({
      allowed: true,
      refusedBy: null,
      retryAfterMs: 0,
      decisions: [{ allowed: true, remaining: 2, source: "redis" }],
      decided: [{ key: "acme", limit: three, cost: 1, decision: { remaining: 2 } }],
    });
  });

  it("answers HEAD without a body, denied too", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }) });
    await get();
    const denied = await get({}, "/hello", "HEAD");
    expect(denied.status).toBe(429);
    expect(denied.headers.get("retry-after")).toBe("60");
    expect(await denied.text()).toBe("");
  });

  it("limits the authenticated user, else the address", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }) });
    expect(await statuses(2, { "x-user": "7" })).toEqual([200, 429]);
    expect(await statuses(2, { "x-user": "8" })).toEqual([200, 429]);
    expect(await statuses(2)).toEqual([200, 429]);
    // A token that nobody has verified is nobody.
    expect(await statuses(1, { authorization: "Bearer new", "x-api-key": "new" })).toEqual([429]);
    expect((await client.keys("*")).sort()).toEqual(["rl:{ip:127.0.0.1}", "rl:{user:7}", "rl:{user:8}"]);
  });

  it("does not believe X-Forwarded-For of whoever sends it", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }) });
    const lies = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "garbage", "x".repeat(2000), ",,,"];
    const all = [];
    for (const lie of lies) {
      all.push((await get({ "x-forwarded-for": lie, "x-real-ip": lie, forwarded: `for=${lie}` })).status);
    }
    expect(all).toEqual([200, 429, 429, 429, 429, 429]);
  });

  it("behind a trusted proxy takes what the proxy saw, not what the client wrote", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }) }, { trustProxy: true });
    const from = async (forwarded: string) => (await get({ "x-forwarded-for": forwarded })).status;
    expect(await from("203.0.113.9, 192.0.2.1")).toBe(200);
    expect(await from("203.0.113.10, 192.0.2.1")).toBe(429);
    expect(await from("192.0.2.2")).toBe(200);
    // One /56 is one subscriber, in whichever spelling.
    expect(await from("2001:db8:1:200::1")).toBe(200);
    expect(await from("2001:DB8:1:2ff:ffff::2")).toBe(429);
    expect(await from("2001:db8:1:300::1")).toBe(200);
    expect(await from("::ffff:192.0.2.1")).toBe(429);
    // A trusted proxy that passes on what is no address: all of it shares one quota.
    expect(await from("1.2.3.4, gibberish")).toBe(200);
    expect(await from("more gibberish")).toBe(429);
    expect(await from("}{%0d%0a")).toBe(429);
    expect(app.errors).toEqual([]);
  });

  it("skips", async () => {
    await start({
      limits: fixedWindow({ limit: 1, window: "1m" }),
      skip: async (req) => req.url.endsWith("/health"),
    });
    for (let i = 0; i < 3; i++) {
      const response = await get({}, "/health");
      expect([response.status, limitHeaders(response)]).toEqual([200, {}]);
    }
    expect(app.state()).toBeUndefined();
    expect(await statuses(2)).toEqual([200, 429]);
  });

  it("charges what a request costs, and answers 413 to what never fits", async () => {
    await start({
      limits: fixedWindow({ limit: 10, window: "1m", name: "units" }),
      cost: (req) => Number(header(req, "x-cost")),
    });
    expect((await get({ "x-cost": "6" })).headers.get("ratelimit")).toBe('"units";r=4;t=60');
    expect((await get({ "x-cost": "5" })).status).toBe(429);
    expect((await get({ "x-cost": "4" })).status).toBe(200);
    const never = await get({ "x-cost": "11" });
    expect(never.status).toBe(413);
    expect(limitHeaders(never)).toEqual({
      "ratelimit-policy": '"units";q=10;w=60',
      ratelimit: '"units";r=0',
    });
    expect(await never.json()).toEqual({
      type: QUOTA,
      title: "Quota Exceeded",
      status: 413,
      "violated-policies": ["units"],
    });
    // Nobody gives himself units, and a mistake must not mean no limit.
    for (const cost of ["-5", "1.5", "many"]) expect((await get({ "x-cost": cost })).status).toBe(500);
    expect(app.errors).toHaveLength(3);
    expect((await get({ "x-cost": "1" })).status).toBe(429);
  });

  it("gives back by the response: only failed logins count", async () => {
    await start({
      limits: slidingLog({ limit: 2, window: "15m", name: "login" }),
      refundOn: (response) => response.status < 400,
    });
    const used = async () => Number(await client.zCard("rl:log:login:{ip:127.0.0.1}"));
    for (let i = 0; i < 4; i++) {
      expect((await get()).status).toBe(200);
      await eventually(async () => (await used()) === 0);
    }
    expect(await statuses(3, { "x-status": "401" })).toEqual([401, 401, 429]);
    expect((await get()).status).toBe(429);
    await sleep(50);
    expect((await get()).status).toBe(429);
  });

  it("streams; a client that hangs up gets nothing back", async () => {
    await start({ limits: fixedWindow({ limit: 2, window: "1m" }), refundOn: () => _framework !== "Hono" });
    await abandoned(`${app.url}/stream`);
    await abandoned(`${app.url}/stream`);
    await sleep(50);
    expect((await get()).status).toBe(429);
    expect(app.handled()).toBe(2);
    expect(app.errors).toEqual([]);
  });

  it("takes limits by tier", async () => {
    const tiers = {
      free: fixedWindow({ limit: 1, window: "1m", name: "free" }),
      pro: tokenBucket({ capacity: 2, refill: 1, period: "10s", name: "pro" }),
    };
    await start({ limits: async (req) => tiers[header(req, "x-tier") as "free" | "pro"] });
    expect(await statuses(2, { "x-tier": "free" })).toEqual([200, 429]);
    expect(await statuses(3, { "x-tier": "pro" })).toEqual([200, 200, 429]);
    const denied = await get({ "x-tier": "pro" });
    expect(limitHeaders(denied)).toEqual({
      "ratelimit-policy": '"pro";q=2;w=20',
      ratelimit: '"pro";r=0;t=10',
      "retry-after": "10",
    });
    expect((await get({ "x-tier": "none" })).status).toBe(500);
  });

  it("charges several limits, all or none", async () => {
    await start({
      limits: [
        { limit: fixedWindow({ limit: 10, window: "1s", name: "burst" }) },
        { limit: fixedWindow({ limit: 5, window: "1h", name: "site" }), key: "site", cost: 2 },
      ],
    });
    const first = await get();
    expect(limitHeaders(first)).toEqual({
      "ratelimit-policy": '"burst";q=10;w=1, "site";q=5;w=3600',
      ratelimit: '"burst";r=9;t=1, "site";r=3;t=3600',
    });
    await get();
    const denied = await get();
    expect(denied.status).toBe(429);
    expect(limitHeaders(denied)).toMatchObject({
      ratelimit: '"burst";r=8;t=1, "site";r=1;t=3600',
      "retry-after": "3600",
    });
    expect(await denied.json()).toMatchObject({ "violated-policies": ["site"] });
  });

  it("tells the limits in other formats, or not at all", async () => {
    await start({ limits: three, headers: ["draft-6", "x-ratelimit"] });
    server.clock.freeze();
    const response = await get();
    const { "x-ratelimit-reset": reset, ...others } = limitHeaders(response);
    expect(others).toEqual({
      "ratelimit-policy": "3;w=60",
      "ratelimit-limit": "3",
      "ratelimit-remaining": "2",
      "ratelimit-reset": "60",
      "x-ratelimit-limit": "3",
      "x-ratelimit-remaining": "2",
    });
    expect(Math.abs(Number(reset) - Date.now() / 1000 - 60)).toBeLessThan(3);
    await app.close();
    await start({ limits: three, headers: false });
    expect(limitHeaders(await get())).toEqual({});
    await get();
    expect(limitHeaders(await get())).toEqual({ "retry-after": "60" });
  });

  it("lets the application answer", async () => {
    const denied: unknown[] = [];
    await start(
      {
        limits: three,
        onDenied: (req, state) =>
          denied.push([req.url.endsWith("/hello"), state.decided[0]!.key, state.retryAfterMs]),
      },
      { ownAnswer: true },
    );
    await statuses(3);
    const response = await get();
    expect(response.status).toBe(429);
    expect(limitHeaders(response)).toMatchObject({ ratelimit: '"api";r=0;t=60', "retry-after": "60" });
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(await response.json()).toEqual({ no: true });
    expect(denied).toEqual([[true, "ip:127.0.0.1", 60_000]]);
  });

  it("spreads those who come back, by a random wait", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }), jitterMs: 1_000_000 });
    await get();
    const waits = [];
    for (let i = 0; i < 10; i++) {
      const { ratelimit, "retry-after": wait } = limitHeaders(await get());
      expect(ratelimit).toContain(`;t=${wait}`);
      waits.push(Number(wait));
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(60);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1060);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });

  it("does not fill Redis with long keys", async () => {
    await start({ limits: fixedWindow({ limit: 1, window: "1m" }), key: (req) => header(req, "x-name")! });
    const long = "x".repeat(5000);
    expect(await statuses(2, { "x-name": long })).toEqual([200, 429]);
    expect(await statuses(2, { "x-name": `${long}y` })).toEqual([200, 429]);
    expect(await statuses(1, { "x-name": "x".repeat(256) })).toEqual([200]);
    const [hashed = ""] = (await client.keys("rl:{sha256:*")).map((key) => key.slice("rl:{".length, -1));
    // Nobody takes another's place by naming himself as the hash of a long name.
    expect(await statuses(1, { "x-name": hashed })).toEqual([200]);
    const keys = (await client.keys("*")).sort();
    expect(keys).toHaveLength(4);
    expect(Math.max(...keys.map((key) => key.length))).toBe("rl:{}".length + 256);
    expect(keys.filter((key) => /^rl:\{sha256:[\da-f]{64}\}$/.test(key))).toHaveLength(3);
  });

  it("makes a mistake an error, never a request without a limit", async () => {
    await start({ limits: three });
    await server.call("SET", "rl:{ip:127.0.0.1}", "text");
    expect((await get()).status).toBe(500);
    expect(app.errors).toMatchObject([{ name: "LimiterError" }]);
    expect(app.handled()).toBe(0);
  });

  it("is an abuser's problem while he is blocked", async ({ skip }) => {
    skip(!canBlock, "the module has no BLOCK yet");
    await start({ limits: fixedWindow({ limit: 1, window: "1s", name: "login", block: { for: "5m" } }) });
    await get();
    for (const wait of [300, 298]) {
      const blocked = await get();
      expect(blocked.status).toBe(429);
      expect(blocked.headers.get("retry-after")).toBe(String(wait));
      expect(await blocked.json()).toEqual({
        type: "https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
        title: "Abnormal Usage Detected",
        status: 429,
        "violated-policies": ["login"],
      });
      server.clock.advance(2000);
    }
  });

  it("says nothing of limits that nobody decided, or 503", async () => {
    const away = await Server.start();
    const lost = createClient({ url: away.url });
    lost.on("error", () => {});
    await lost.connect();
    await away.stop();
    const open = await serve(createLimiter(lost), { limits: three, refundOn: () => true });
    const response = await fetch(`${open.url}/hello`);
    expect([response.status, limitHeaders(response)]).toEqual([200, {}]);
    expect(open.state()).toMatchObject({ decisions: [{ source: "open" }] });
    await open.close();

    app = await serve(createLimiter(lost, { onUnavailable: "closed" }), { limits: three });
    const closed = await get();
    expect(closed.status).toBe(503);
    expect(Number(closed.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(Number(closed.headers.get("retry-after"))).toBeLessThanOrEqual(5);
    expect(closed.headers.get("content-type")).toBe("application/problem+json");
    expect(await closed.json()).toEqual({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
      title: "Temporary Reduced Capacity",
      status: 503,
    });
    expect(app.handled()).toBe(0);
    lost.destroy();
  });
});
