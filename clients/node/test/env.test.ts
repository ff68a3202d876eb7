import { describe, expect, it } from "vitest";
import { fromEnv, LimiterError } from "../src/index.js";

describe("fromEnv", () => {
  it("has defaults; an empty variable is none", () => {
    expect(fromEnv({ REDIS_URL: "", DDOS_THRESHOLD: "" })).toEqual({
      enabled: true,
      redisUrl: "redis://localhost:6379",
      cluster: false,
      limiter: { prefix: "rl:", onUnavailable: "open" },
      limits: [{ algorithm: "fixedWindow", limit: 100, window: "60000ms", name: "default" }],
    });
  });

  it("reads all variables", () => {
    const env = {
      REDIS_HOST: "redis.internal",
      REDIS_PORT: "6380",
      REDIS_PASSWORD: "p@ss/word",
      RATE_LIMIT_ENABLED: "false",
      RATE_LIMIT_WINDOW_MS: "1000",
      RATE_LIMIT_MAX_REQUESTS: "5",
      RATE_LIMIT_FAIL_OPEN: "0",
      RATE_LIMIT_KEY_PREFIX: "app:",
      RATE_LIMIT_CLUSTER_MODE: "TRUE",
      DDOS_THRESHOLD: "600",
      DDOS_BLOCK_DURATION: "60",
    };
    expect(fromEnv(env)).toEqual({
      enabled: false,
      redisUrl: "redis://:p%40ss%2Fword@redis.internal:6380",
      cluster: true,
      limiter: { prefix: "app:", onUnavailable: "closed" },
      limits: [
        { algorithm: "fixedWindow", limit: 5, window: "1000ms", name: "default" },
        { algorithm: "fixedWindow", limit: 600, window: "1m", name: "ddos", block: { for: "60s" } },
      ],
    });
    expect(fromEnv({ ...env, REDIS_URL: "rediss://one:6379/2" }).redisUrl).toBe("rediss://one:6379/2");
    expect(fromEnv({ REDIS_HOST: "::1" }).redisUrl).toBe("redis://[::1]:6379");
  });

  it.each([
    ["REDIS_URL", "localhost:6379"],
    ["REDIS_PORT", "0"],
    ["REDIS_PORT", "6379a"],
    ["REDIS_HOST", "a b"],
    ["RATE_LIMIT_ENABLED", "ture"],
    ["RATE_LIMIT_WINDOW_MS", "1m"],
    ["RATE_LIMIT_WINDOW_MS", "0"],
    ["RATE_LIMIT_MAX_REQUESTS", "-1"],
    ["RATE_LIMIT_MAX_REQUESTS", "1e3"],
    ["RATE_LIMIT_FAIL_OPEN", "maybe"],
    ["RATE_LIMIT_KEY_PREFIX", "a{b}"],
    ["RATE_LIMIT_CLUSTER_MODE", "2"],
    ["DDOS_THRESHOLD", "0"],
    ["DDOS_BLOCK_DURATION", "1.5"],
  ])("%s=%s is an error that names it", (name, value) => {
    expect(() => fromEnv({ [name]: value })).toThrow(LimiterError);
    expect(() => fromEnv({ [name]: value })).toThrow(new RegExp(`^${name} `));
  });

  it("shows no password", () => {
    expect(() => fromEnv({ REDIS_URL: "http://:secret@host" })).toThrow(/^(?!.*secret)/);
  });
});
