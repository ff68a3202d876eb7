import { describe, expect, it } from "vitest";
import {
  apiKey,
  type Decided,
  fixedWindow,
  identify,
  LimiterError,
  problem,
  rateLimitHeaders,
} from "../../src/index.js";
import { makeDecided, vectors } from "../support/vectors.js";

const [first] = makeDecided(vectors.headers[0]!.decided) as [Decided];

describe("headers", () => {
  it.each(vectors.headers)("$title", ({ decided, format, now, headers }) => {
    expect(rateLimitHeaders(makeDecided(decided), { format, now })).toEqual(headers);
  });

  it("are draft 10's, by the clock", () => {
    expect(rateLimitHeaders([first])).toEqual(vectors.headers[0]!.headers);
    const reset = Number(rateLimitHeaders([first], { format: "x-ratelimit" })["X-RateLimit-Reset"]);
    expect(Math.abs(reset - (Date.now() / 1000 + 7))).toBeLessThan(2);
  });

  it("escape a name, whoever made the limit: no name ends its string or its line", () => {
    const named = (name: string) => ({ ...first, limit: { ...first.limit, name } });
    const header = (name: string) => rateLimitHeaders([named(name)]).RateLimit;
    expect(header('a"b\\c')).toBe('"a\\"b\\\\c";r=42;t=7');
    expect(header("a\r\nSet-Cookie: x")).toBe('"a%0D%0ASet-Cookie: x";r=42;t=7');
    expect(header("zoë\ud800\u007f")).toBe('"zo%C3%AB%EF%BF%BD%7F";r=42;t=7');
  });

  it("write numbers that are none as 0, and none of more than 15 digits", () => {
    const decision = { ...first.decision!, remaining: Number.NaN, nextAfterMs: 1e30, limit: -5 };
    expect(rateLimitHeaders([{ ...first, decision }])).toEqual({
      "RateLimit-Policy": '"user";q=0;w=60',
      RateLimit: '"user";r=0;t=999999999999999',
    });
  });

  it("do not know every format", () => {
    for (const format of ["draft-7", ["draft-10", "x"], true, "toString"]) {
      expect(() => rateLimitHeaders([first], { format: format as "draft-6" })).toThrow(LimiterError);
    }
  });
});

describe("a problem", () => {
  it.each(vectors.problems)("$title", ({ decided, problem: expected }) => {
    expect(problem(makeDecided(decided))).toEqual(expected);
  });

  it("has a wait of at least a second, whatever a decision says", () => {
    const wait = (retryAfterMs: number) =>
      problem({ ...first, decision: { ...first.decision!, allowed: false, retryAfterMs } }).headers[
        "Retry-After"
      ];
    expect([Number.NaN, -5, 0, 0.5, Number.POSITIVE_INFINITY].map(wait)).toEqual([
      "1",
      "1",
      "1",
      "1",
      "999999999999999",
    ]);
  });

  it("takes one limit too", () => {
    const [one] = makeDecided(vectors.problems[0]!.decided) as [Decided];
    expect(problem(one)).toEqual(vectors.problems[0]!.problem);
  });
});

describe("identify", () => {
  it.each(vectors.addresses)("$address of $ipv6Subnet bits is $key", ({ address, key, ...options }) => {
    expect(identify({ ip: address }, options)).toBe(key);
  });

  it("takes the authenticated user first", () => {
    expect(identify({ user: { id: 7 }, ip: "192.0.2.1" })).toBe("user:7");
    expect(identify({ user: { id: "zoë" } })).toBe("user:zoë");
    for (const user of [null, undefined, "zoë", {}, { id: "" }, { id: null }, { id: {} }]) {
      expect(identify({ user, ip: "192.0.2.1" })).toBe("ip:192.0.2.1");
    }
  });

  it("throws where there is nobody", () => {
    expect(() => identify({})).toThrow(LimiterError);
    expect(() => identify({ ip: "" })).toThrow("no address");
    expect(() => identify({ ip: "::1" }, { ipv6Subnet: 0 })).toThrow("ipv6Subnet");
  });

  it("reads addresses of any length quickly", () => {
    for (const part of [":", "1", "::", "[", "1.", "%", "f:"]) {
      expect(identify({ ip: part.repeat(100_000) })).toBe("ip:invalid");
    }
  });
});

describe("apiKey", () => {
  it.each(vectors.apiKeys)("hashes $secret", async ({ secret, key }) => {
    expect(await apiKey({ headers: { "x-api-key": secret } })).toBe(key);
    expect(await apiKey({ headers: { authorization: `Bearer ${secret}` } })).toBe(key);
    expect(await apiKey(new Request("http://x", { headers: { "X-API-Key": secret } }))).toBe(key);
  });

  it("is the address where there is no key", async () => {
    expect(await apiKey({ headers: { authorization: "Basic YTpi" }, ip: "192.0.2.1" })).toBe("ip:192.0.2.1");
    await expect(apiKey(new Request("http://x"))).rejects.toThrow(LimiterError);
  });
});

it("what a limiter answers makes headers and a problem", async () => {
  const { createLimiter } = await import("../../src/index.js");
  const limit = fixedWindow({ limit: 5, window: "1m", name: "api" });
  const limiter = createLimiter({ send: async () => [0, 5, 0, 1500, 1500, 1500, 5] });
  const decision = await limiter.consume("user:7", limit);
  expect(rateLimitHeaders([{ limit, decision }]).RateLimit).toBe('"api";r=0;t=2');
  expect(problem({ limit, decision })).toMatchObject({ status: 429, headers: { "Retry-After": "2" } });
});
