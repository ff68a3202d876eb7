import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLimiter, type DenyCacheOptions, fixedWindow, slidingLog } from "../src/index.js";
import { allow, countingMetrics, fakeClient, refuse } from "./support/fakes.js";

const limit = fixedWindow({ limit: 5, window: "1m", name: "api" });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function denying(denyCache: DenyCacheOptions = {}, retry = 30_000) {
  const client = fakeClient(([name, , , , , cost]) => {
    if (name === "RL.ALL") return [0, retry, allow(), refuse(5, retry)];
    if (name === "DEL" || name === "HDEL" || name === "SET") return 1;
    return cost?.startsWith("-") ? allow() : refuse(5, retry);
  });
  const metrics = countingMetrics();
  return { client, metrics, limiter: createLimiter(client, { denyCache, metrics }) };
}

describe("the deny cache", () => {
  it("repeats a refusal until maxMs, counting down", async () => {
    const { client, limiter, metrics } = denying();
    expect((await limiter.consume("u", limit)).source).toBe("redis");
    vi.advanceTimersByTime(400);
    expect(await limiter.consume("u", limit)).toMatchObject({
      allowed: false,
      source: "cache",
      retryAfterMs: 29_600,
      resetAfterMs: 29_600,
    });
    expect(client.sent).toHaveLength(1);
    vi.advanceTimersByTime(600);
    expect((await limiter.consume("u", limit)).source).toBe("redis");
    expect(metrics.counts.get("request api refused cache")).toBe(1);
  });

  it("hides no mistake", async () => {
    const { limiter } = denying();
    await limiter.consume("u", limit);
    await expect(limiter.consume("u", limit, { cost: Number.NaN })).rejects.toThrow("cost");
    await expect(limiter.consume("u", limit, { mode: "FORCE" as "force" })).rejects.toThrow("mode");
  });

  it("ends with the refusal itself", async () => {
    const { limiter } = denying({}, 300);
    await limiter.consume("u", limit);
    vi.advanceTimersByTime(299);
    expect(await limiter.consume("u", limit)).toMatchObject({ source: "cache", retryAfterMs: 1 });
    vi.advanceTimersByTime(1);
    expect((await limiter.consume("u", limit)).source).toBe("redis");
  });

  it("holds for the cost or more, that key and that limit", async () => {
    const { limiter } = denying();
    await limiter.consume("u", limit, { cost: 3 });
    expect((await limiter.consume("u", limit, { cost: 4 })).source).toBe("cache");
    expect((await limiter.consume("u", limit, { cost: 2 })).source).toBe("redis");
    expect((await limiter.consume("u", limit, { cost: 2, mode: "partial" })).source).toBe("redis");
    expect((await limiter.consume("u", limit, { cost: 1 })).source).toBe("cache");
    expect((await limiter.consume("v", limit)).source).toBe("redis");
    const more = fixedWindow({ limit: 6, window: "1m", name: "api" });
    expect((await limiter.consume("u", more)).source).toBe("redis");
  });

  it("is not asked for FORCE, COST 0, refunds and peeks", async () => {
    const { client, limiter } = denying();
    await limiter.consume("u", limit);
    await limiter.consume("u", limit, { mode: "force" });
    await limiter.consume("u", limit, { cost: 0 });
    await limiter.settle("u", limit, { reserved: 1, actual: 2 });
    expect(client.sent).toHaveLength(4);
    await limiter.consume("u", limit, { cost: -1 });
    expect(client.sent).toHaveLength(5);
  });

  it.each<[string, (limiter: ReturnType<typeof denying>["limiter"]) => Promise<unknown>]>([
    ["reset", (limiter) => limiter.reset("u")],
    ["reset of the limit", (limiter) => limiter.reset("u", limit)],
    ["refund", (limiter) => limiter.refund("u", limit)],
    ["unblock", (limiter) => limiter.unblock("u", { ...limit, block: { for: "5m" } })],
    ["override", (limiter) => limiter.override("u", { ...limit, override: true }, { limit: 9 })],
    ["clearOverride", (limiter) => limiter.clearOverride("u", limit)],
  ])("is cleared by this process' own %s", async (_name, clear) => {
    const { limiter } = denying();
    await limiter.consume("u", limit);
    expect((await limiter.consume("u", limit)).source).toBe("cache");
    await clear(limiter);
    expect((await limiter.consume("u", limit)).source).toBe("redis");
  });

  it("does not remember a refusal from before a reset that comes after it", async () => {
    let answer: (reply: unknown) => void = () => {};
    const late = new Promise((resolve) => {
      answer = resolve;
    });
    const client = fakeClient(([name], n) => (name === "DEL" ? 1 : n === 1 ? late : refuse()));
    const limiter = createLimiter(client, { denyCache: {} });
    const pending = limiter.consume("u", limit);
    await limiter.reset("u");
    answer(refuse());
    expect((await pending).allowed).toBe(false);
    expect((await limiter.consume("u", limit)).source).toBe("redis");
  });

  it("repeats a refused call of several limits, until the refusing caller is reset", async () => {
    const { client, limiter } = denying();
    const log = slidingLog({ limit: 5, window: "1m" });
    const items = [
      { key: "u", limit },
      { key: "v", limit: log },
    ];
    expect(await limiter.consumeAll(items)).toMatchObject({ allowed: false, refusedBy: 1 });
    vi.advanceTimersByTime(100);
    expect(await limiter.consumeAll(items)).toMatchObject({
      allowed: false,
      refusedBy: 1,
      retryAfterMs: 29_900,
      decisions: [
        { source: "cache", allowed: true },
        { source: "cache", allowed: false },
      ],
    });
    expect(client.sent).toHaveLength(1);
    await limiter.consumeAll([items[0]!, { ...items[1]!, cost: 2 }]);
    expect(client.sent).toHaveLength(2);
    await limiter.reset("v", log);
    await limiter.consumeAll(items);
    expect(client.sent).toHaveLength(4);
  });

  it("never remembers what was decided without Redis", async () => {
    const client = fakeClient(() => new Error("LOADING"));
    const limiter = createLimiter(client, { denyCache: {}, onUnavailable: "closed", breaker: false });
    await limiter.consume("u", limit);
    expect((await limiter.consume("u", limit)).source).toBe("closed");
  });

  it("is bounded", async () => {
    const { client, limiter } = denying({ max: 10 });
    for (let i = 0; i < 100; i++) await limiter.consume(`u${i}`, limit);
    await limiter.consume("u0", limit);
    expect(client.sent).toHaveLength(101);
    expect((await limiter.consume("u99", limit)).source).toBe("cache");
    for (let i = 0; i < 100; i++) await limiter.consume("u99", fixedWindow({ limit: i, window: "1m" }));
    expect((await limiter.consume("u99", limit)).source).toBe("redis");
  });

  it("says 'already' of a caller that was blocked by the first refusal", async () => {
    const limiter = createLimiter(
      fakeClient(() => [...refuse(), 2]),
      { denyCache: {} },
    );
    const blocking = { ...limit, block: { for: "5m" } } as const;
    expect((await limiter.consume("u", blocking)).blocked).toBe("now");
    expect((await limiter.consume("u", blocking)).blocked).toBe("already");
  });
});
