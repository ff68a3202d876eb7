import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryFallback } from "../src/fallback.js";
import { createLimiter, fixedWindow, leakyBucket, lease, tokenBucket } from "../src/index.js";
import type { Item } from "../src/words.js";
import { fakeClient } from "./support/fakes.js";

const limit = fixedWindow({ limit: 20, window: "1m" });
const item = (over: Partial<Item> = {}): Item => ({ prefix: "rl:", key: "u", limit, charge: {}, ...over });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the fallback in memory", () => {
  it("allows its share, denies the rest without charging it, and starts anew with the window", () => {
    const memory = new MemoryFallback({ share: 1 / 4 });
    for (let used = 1; used <= 5; used++) {
      expect(memory.decide(item())).toMatchObject({ allowed: true, used, limit: 5, source: "memory" });
    }
    vi.advanceTimersByTime(20_000);
    for (let i = 0; i < 3; i++) {
      expect(memory.decide(item())).toMatchObject({
        allowed: false,
        used: 5,
        retryAfterMs: 40_000,
        granted: 0,
      });
    }
    vi.advanceTimersByTime(40_000);
    expect(memory.decide(item())).toMatchObject({ allowed: true, used: 1 });
  });

  it("allows at least 1, but of a limit of 0 nothing", () => {
    const memory = new MemoryFallback();
    const one = fixedWindow({ limit: 1, window: "1m" });
    const none = fixedWindow({ limit: 0, window: "1m", name: "none" });
    expect(memory.decide(item({ limit: one })).allowed).toBe(true);
    expect(memory.decide(item({ limit: one })).allowed).toBe(false);
    expect(memory.decide(item({ limit: none }))).toMatchObject({ allowed: false, retryAfterMs: null });
  });

  it("takes a bucket for a window from empty to full", () => {
    const memory = new MemoryFallback({ share: 1 });
    for (const bucket of [
      tokenBucket({ capacity: 10, refill: 5, period: "1s" }),
      leakyBucket({ capacity: 10, leak: 5, period: "1s" }),
    ]) {
      expect(memory.decide(item({ limit: bucket, charge: { cost: 10 } }))).toMatchObject({
        resetAfterMs: 2000,
      });
    }
  });

  it("does the modes, refunds and questions", () => {
    const memory = new MemoryFallback({ share: 1 });
    const does = (charge: Item["charge"], peek = false) => memory.decide(item({ charge }), peek);
    expect(does({ cost: 15 })).toMatchObject({ granted: 15 });
    expect(does({ cost: 9, mode: "partial" }, true)).toMatchObject({ allowed: true, granted: 0, used: 15 });
    expect(does({ cost: 9, mode: "partial" })).toMatchObject({ allowed: true, granted: 5, used: 20 });
    expect(does({ cost: 1, mode: "partial" })).toMatchObject({ allowed: false, granted: 0 });
    expect(does({ cost: 9, mode: "force" })).toMatchObject({ allowed: false, granted: 9, used: 29 });
    expect(does({ cost: 0 })).toMatchObject({ allowed: false });
    expect(does({ cost: -19 })).toMatchObject({ allowed: true, granted: 0, used: 10 });
    expect(does({ cost: 0 })).toMatchObject({ allowed: true, used: 10 });
    expect(does({ cost: 21 })).toMatchObject({ allowed: false, retryAfterMs: null });
    expect(does({ cost: -99 })).toMatchObject({ used: 0, resetAfterMs: 0 });
  });

  it("says of what exceeds only its share when to come back", () => {
    expect(new MemoryFallback({ share: 1 / 4 }).decide(item({ charge: { cost: 6 } }))).toMatchObject({
      allowed: false,
      retryAfterMs: 60_000,
    });
  });

  it("charges several, all or none", () => {
    const memory = new MemoryFallback();
    const [a, b] = [item({ key: "a" }), item({ key: "b", charge: { cost: 5 } })];
    expect(memory.decideAll([a, b]).map(({ used }) => used)).toEqual([1, 5]);
    expect(memory.decideAll([a, b]).map(({ used }) => used)).toEqual([1, 5]);
    expect(memory.decide(a).used).toBe(2);
  });

  it("holds leases, by holder", () => {
    const memory = new MemoryFallback({ share: 1 / 2 });
    const exports = lease({ limit: 4, ttl: "10s" });
    const place = { prefix: "rl:", key: "u", limit: exports };
    const take = (id: string) => memory.decide(item({ limit: exports, id }));
    expect(take("a")).toMatchObject({ allowed: true, limit: 2, used: 1 });
    vi.advanceTimersByTime(5000);
    expect(take("b").allowed).toBe(true);
    expect(take("c")).toMatchObject({ allowed: false, retryAfterMs: 5000 });
    expect(take("b").allowed).toBe(true);
    expect(memory.release(place, "b")).toBe(true);
    expect(memory.release(place, "b")).toBe(false);
    expect(take("c").allowed).toBe(true);
    expect(memory.renew(place, "a")).toBe(true);
    vi.advanceTimersByTime(9999);
    expect(take("d").allowed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(memory.renew(place, "a")).toBe(false);
    expect(take("d").allowed).toBe(true);
  });

  it("is bounded: by keys, and by holders of all leases together", () => {
    const memory = new MemoryFallback({ max: 10, share: 1 });
    for (let i = 0; i < 1000; i++) memory.decide(item({ key: `u${i}` }));
    expect(memory.size).toBeLessThanOrEqual(10);
    const many = lease({ limit: 1000, ttl: "1m" });
    for (let i = 0; i < 1000; i++) memory.decide(item({ key: `u${i % 7}`, limit: many, id: String(i) }));
    expect(memory.size).toBeLessThanOrEqual(20);
  });

  it("decides for a limiter, peeks too", async () => {
    const limiter = createLimiter(
      fakeClient(() => new Error("LOADING")),
      { onUnavailable: { memory: {} } },
    );
    expect(await limiter.consume("u", limit, { cost: 4 })).toMatchObject({ source: "memory", used: 4 });
    expect(await limiter.peek("u", limit, { cost: 2 })).toMatchObject({ allowed: false, used: 4 });
    const both = [
      { key: "u", limit },
      { key: "v", limit, cost: 6 },
    ];
    expect(await limiter.consumeAll(both)).toMatchObject({ allowed: false, refusedBy: 1 });
    expect(await limiter.consume("u", limit)).toMatchObject({ used: 5 });
    expect(await limiter.consume("u", limit)).toMatchObject({ allowed: false });
  });

  it("names the option that is wrong", () => {
    const wrong = (memory: object) => () =>
      createLimiter(
        fakeClient(() => ""),
        { onUnavailable: { memory } },
      );
    expect(wrong({ share: 0 })).toThrow("memory.share");
    expect(wrong({ share: 1.5 })).toThrow("memory.share");
    expect(wrong({ max: 0 })).toThrow("memory.max");
    expect(() =>
      createLimiter(
        fakeClient(() => ""),
        { onUnavailable: {} as "open" },
      ),
    ).toThrow("onUnavailable");
  });
});
