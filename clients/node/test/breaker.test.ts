import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLimiter, fixedWindow, LimiterError } from "../src/index.js";
import { allow, countingMetrics, fakeClient } from "./support/fakes.js";

const limit = fixedWindow({ limit: 5, window: "1m", name: "api" });
const away = () => new Error("LOADING Redis is loading the dataset in memory");

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the breaker", () => {
  it("opens after `failures`, and tells when it will ask again", async () => {
    const client = fakeClient(away);
    const metrics = countingMetrics();
    const limiter = createLimiter(client, { onUnavailable: "closed", breaker: { failures: 3 }, metrics });
    for (let i = 0; i < 3; i++) expect((await limiter.consume("u", limit)).retryAfterMs).toBe(5000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await limiter.consume("u", limit)).toMatchObject({ source: "closed", retryAfterMs: 4000 });
    expect(client.sent).toHaveLength(3);
    expect(metrics.counts.get("error api loading")).toBe(3);
    expect(metrics.counts.get("breaker closed open")).toBe(1);
    expect(metrics.counts.get("request api refused closed")).toBe(4);
  });

  it("lets one call probe, and closes where it is answered", async () => {
    let isAway = true;
    let release: (() => void) | undefined;
    const client = fakeClient(async () => {
      if (isAway) return away();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return allow();
    });
    const limiter = createLimiter(client, { onUnavailable: "closed" });
    for (let i = 0; i < 5; i++) await limiter.consume("u", limit);
    isAway = false;
    await vi.advanceTimersByTimeAsync(5000);
    const probe = limiter.consume("u", limit);
    await vi.advanceTimersByTimeAsync(1);
    expect(await limiter.consume("u", limit)).toMatchObject({ source: "closed", retryAfterMs: 250 });
    expect(client.sent).toHaveLength(6);
    release?.();
    expect((await probe).source).toBe("redis");
    const next = limiter.consume("u", limit);
    await vi.advanceTimersByTimeAsync(1);
    release?.();
    expect((await next).source).toBe("redis");
  });

  it("opens again where the probe fails, and forgets old failures once it has closed", async () => {
    let isAway = true;
    const client = fakeClient(() => (isAway ? away() : allow()));
    const limiter = createLimiter(client, { breaker: { resetMs: 1000 } });
    for (let i = 0; i < 5; i++) await limiter.consume("u", limit);
    await vi.advanceTimersByTimeAsync(1000);
    await limiter.consume("u", limit);
    await limiter.consume("u", limit);
    expect(client.sent).toHaveLength(6);
    await vi.advanceTimersByTimeAsync(1000);
    isAway = false;
    expect((await limiter.consume("u", limit)).source).toBe("redis");
    isAway = true;
    for (let i = 0; i < 4; i++) await limiter.consume("u", limit);
    isAway = false;
    expect((await limiter.consume("u", limit)).source).toBe("redis");
  });

  it("stays closed below the error rate, and where failures are older than the window", async () => {
    let n = 0;
    const client = fakeClient(() => (n++ % 3 === 0 ? away() : allow()));
    const limiter = createLimiter(client);
    for (let i = 0; i < 60; i++) await limiter.consume("u", limit);
    expect(client.sent).toHaveLength(60);

    const slow = fakeClient(away);
    const other = createLimiter(slow);
    for (let i = 0; i < 20; i++) {
      await other.consume("u", limit);
      await vi.advanceTimersByTimeAsync(3000);
    }
    expect(slow.sent).toHaveLength(20);
  });

  it("does not count mistakes", async () => {
    const client = fakeClient(() => new Error("WRONGTYPE Operation against a key"));
    const metrics = countingMetrics();
    const limiter = createLimiter(client, { metrics });
    for (let i = 0; i < 10; i++) await expect(limiter.consume("u", limit)).rejects.toThrow(LimiterError);
    expect(client.sent).toHaveLength(10);
    expect(metrics.counts.get("error api mistake")).toBe(10);
  });

  it("is made at the first call, runs no timer while it is closed, and none after `close`", async () => {
    const client = fakeClient(away);
    const metrics = countingMetrics();
    const limiter = createLimiter(client, { metrics });
    expect(vi.getTimerCount()).toBe(0);
    expect(metrics.counts.size).toBe(0);
    await limiter.consume("u", limit);
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
    for (let i = 0; i < 5; i++) await limiter.consume("u", limit);
    expect(vi.getTimerCount()).toBe(1);
    await limiter.close();
    expect(vi.getTimerCount()).toBe(0);
    expect(metrics.counts.get("breaker open null")).toBe(1);
    await limiter.close();
    await expect(limiter.consume("u", limit)).rejects.toThrow("the limiter is closed");
    await expect(limiter.reset("u")).rejects.toThrow("the limiter is closed");
  });

  it("may be left out", async () => {
    const client = fakeClient(away);
    const limiter = createLimiter(client, { breaker: false, onUnavailable: "closed" });
    for (let i = 0; i < 20; i++) expect((await limiter.consume("u", limit)).retryAfterMs).toBe(5000);
    expect(client.sent).toHaveLength(20);
  });

  it("names the option that is wrong", () => {
    for (const breaker of [
      { failures: 0 },
      { windowMs: 5 },
      { errorRate: 0 },
      { errorRate: 2 },
      { resetMs: 0.5 },
    ]) {
      const [name] = Object.keys(breaker);
      expect(() => createLimiter(fakeClient(away), { breaker })).toThrow(`breaker.${name} must be`);
    }
  });
});
