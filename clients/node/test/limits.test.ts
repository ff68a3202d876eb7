import { describe, expect, it } from "vitest";
import { fixedWindow, LimiterError, lease, slidingLog, tokenBucket } from "../src/index.js";
import { spanMsOf } from "../src/limits.js";

describe("limits", () => {
  it("are frozen, their block too", () => {
    const block = { for: "5m" as const };
    const limit = slidingLog({ limit: 5, window: "15m", block });
    expect(Object.isFrozen(limit)).toBe(true);
    expect(Object.isFrozen(limit.block)).toBe(true);
    expect(Object.isFrozen(block)).toBe(false);
  });

  it("deny options that they do not know: a typing error must not mean no block", () => {
    const options = { limit: 5, window: "1m", blocks: { for: "5m" } } as const;
    expect(() => fixedWindow(options)).toThrow(
      new LimiterError(
        "blocks is no option of fixedWindow, which has limit, window, align, offset, name, block, override",
      ),
    );
    expect(() => lease({ limit: 5, ttl: "60s", form: 1 } as never)).toThrow("limit, ttl, name, override");
  });

  it("tell how a block is written", () => {
    const blocked = (block: unknown) => fixedWindow({ limit: 5, window: "1m", block } as never);
    expect(() => blocked("5m")).toThrow("block must be an object, not '5m': write { for: '5m' }");
    expect(() => blocked(null)).toThrow("write { for: '5m' }");
    expect(() => blocked({ for: "5m", from: "1m" })).toThrow("from is no option of block, which has for");
  });

  it("take align: false as none", () => {
    expect(fixedWindow({ limit: 5, window: "1m", align: false })).toEqual(
      fixedWindow({ limit: 5, window: "1m" }),
    );
  });

  it("tell their time in ms", () => {
    expect(spanMsOf(fixedWindow({ limit: 5, window: "1m" }))).toBe(60_000);
    expect(spanMsOf(tokenBucket({ capacity: 100, refill: 10, period: "1s" }))).toBe(10_000);
    expect(spanMsOf(lease({ limit: 5, ttl: "60s" }))).toBe(60_000);
  });
});
