// What is measured: the same Express application behind each limiter. A case answers the middleware to put before it, or
// undefined where the package cannot do it.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { Ratelimit } from "@upstash/ratelimit";
import { rateLimit } from "express-rate-limit";
import { RedisStore } from "rate-limit-redis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { ExpressRateLimitStore } from "../../clients/node/dist/express-rate-limit.js";
import { createLimiter, fixedWindow, slidingCounter, tokenBucket } from "../../clients/node/dist/index.js";

/** The header that names the caller: no limiter shall be slower for how it finds that out. */
const caller = (request) => request.headers["x-user"];

/** Windows of an hour, so that none ends meanwhile. */
const HOUR_S = 3600;

/** @param units - the limit: far above what is asked, or 1 where all but the first call shall be denied */
const THREE = (units) => [
  tokenBucket({ capacity: units, refill: units, period: "1h" }),
  fixedWindow({ limit: units, window: "1h" }),
  slidingCounter({ limit: units, window: "1h" }),
];

export const OURS = "redis-limiter-client";

/** name -> (client, units) -> middleware */
export const CASES = {
  bare: async () => (_request, _response, next) => next(),
  [OURS]: async (client, units) => guard(createLimiter(client), [fixedWindow({ limit: units, window: "1h" })]),
  [`${OURS}, three limits`]: async (client, units) => guard(createLimiter(client), THREE(units)),
  [`${OURS}'s store for express-rate-limit`]: async (client, units) =>
    peer(units, new ExpressRateLimitStore({ client })),
  "rate-limit-redis": async (client, units) => peer(units, redisStore(client, "rl:")),
  "rate-limit-redis, three limits": async (client, units) => {
    const [first, second, third] = ["a:", "b:", "c:"].map((prefix) => peer(units, redisStore(client, prefix)));
    return (request, response, next) =>
      first(request, response, (e) => (e ? next(e) : second(request, response, (e) => (e ? next(e) : third(request, response, next)))));
  },
  "rate-limiter-flexible": async (client, units) => flexible(client, { points: units }),
  "@upstash/ratelimit's sliding window": async (client, units) => upstash(client, units),
};

/** The same where every call but the first is denied. */
export const ATTACKED = {
  [OURS]: CASES[OURS],
  [`${OURS}, denyCache`]: async (client, units) => {
    const limiter = createLimiter(client, { denyCache: { maxMs: 1000 } });
    const limit = fixedWindow({ limit: units, window: "1h" });
    // A package that does not know the option ignores it.
    for (let i = 0; i < units + 2; i++) await limiter.consume("probe", limit);
    const { source } = await limiter.consume("probe", limit);
    return source === "cache" ? guard(limiter, [limit]) : undefined;
  },
  "rate-limit-redis": CASES["rate-limit-redis"],
  "rate-limiter-flexible": CASES["rate-limiter-flexible"],
  "rate-limiter-flexible, inMemoryBlockOnConsumed": async (client, units) =>
    flexible(client, { points: units, inMemoryBlockOnConsumed: units + 1 }),
  "@upstash/ratelimit's sliding window": CASES["@upstash/ratelimit's sliding window"],
};

/** The package's own middleware, where it has one by now; else the few lines that do the same. */
async function guard(limiter, limits) {
  const file = new URL("../../clients/node/dist/express.js", import.meta.url);
  if (existsSync(file)) {
    const own = await import(file);
    return own.rateLimit(limiter, {
      limits: limits.length === 1 ? limits[0] : (request) => limits.map((limit) => ({ key: caller(request), limit })),
      key: caller,
      headers: "draft-6",
    });
  }
  return async (request, response, next) => {
    const key = caller(request);
    const decision =
      limits.length === 1
        ? await limiter.consume(key, limits[0])
        : await limiter.consumeAll(limits.map((limit) => ({ key, limit })));
    if (decision.allowed) return next();
    response.set("Retry-After", String(Math.ceil(decision.retryAfterMs / 1000)));
    response.status(429).send("too many requests");
  };
}

const peer = (limit, store) =>
  rateLimit({ windowMs: HOUR_S * 1000, limit, store, keyGenerator: caller, validate: false });

const redisStore = (client, prefix) =>
  new RedisStore({ prefix, sendCommand: (...words) => client.sendCommand(words) });

function flexible(client, options) {
  const limiter = new RateLimiterRedis({ storeClient: client, useRedisPackage: true, duration: HOUR_S, ...options });
  return async (request, response, next) => {
    try {
      await limiter.consume(caller(request));
    } catch (denied) {
      if (denied instanceof Error) return next(denied);
      response.set("Retry-After", String(Math.ceil(denied.msBeforeNext / 1000)));
      return response.status(429).send("too many requests");
    }
    next();
  };
}

/** @upstash/ratelimit speaks HTTP to a service. Here its scripts run on the same server, over the same client. */
function upstash(client, units) {
  const loaded = new Map();
  const evalsha = (sha, keys, args) => {
    const known = loaded.get(sha);
    if (!known) throw new Error("NOSCRIPT");
    return client.sendCommand(["EVALSHA", known, String(keys.length), ...keys, ...args.map(String)]);
  };
  const redis = {
    evalsha: async (...call) => evalsha(...call),
    eval: async (script, keys, args) => {
      // Its first line names a flag that only that service knows.
      const plain = script.replace(/^#!lua.*\n/, "");
      const sha = createHash("sha1").update(script).digest("hex");
      loaded.set(sha, await client.sendCommand(["SCRIPT", "LOAD", plain]));
      return evalsha(sha, keys, args);
    },
  };
  const limiter = new Ratelimit({
    redis,
    limiter: Ratelimit.slidingWindow(units, `${HOUR_S} s`),
    ephemeralCache: false,
    timeout: 0,
  });
  return async (request, response, next) => {
    const { success, reset } = await limiter.limit(caller(request));
    if (success) return next();
    response.set("Retry-After", String(Math.ceil((reset - Date.now()) / 1000)));
    response.status(429).send("too many requests");
  };
}
