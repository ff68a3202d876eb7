import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { checkPrefix } from "./keys.js";
import type { LimiterOptions } from "./limiter.js";
import { type FixedWindow, fixedWindow, MAX_UNITS } from "./limits.js";

/** What {@link fromEnv} reads: plain values, for a client and a limiter that you make. */
export interface EnvOptions {
  /** `RATE_LIMIT_ENABLED`, `true` unless given: whether to limit at all. Yours to heed, as a middleware's `skip`. */
  readonly enabled: boolean;
  /** `REDIS_URL`, or one of `REDIS_HOST`, `REDIS_PORT` and `REDIS_PASSWORD`; `redis://localhost:6379` unless given. */
  readonly redisUrl: string;
  /** `RATE_LIMIT_CLUSTER_MODE`, `false` unless given: whether to make a cluster's client. */
  readonly cluster: boolean;
  /** For {@link createLimiter}: `RATE_LIMIT_KEY_PREFIX`, and `RATE_LIMIT_FAIL_OPEN` (`true` unless given). */
  readonly limiter: Required<Pick<LimiterOptions, "prefix" | "onUnavailable">>;
  /**
   * `default`: `RATE_LIMIT_MAX_REQUESTS` (100) in `RATE_LIMIT_WINDOW_MS` (60000). With `DDOS_THRESHOLD`, also `ddos`: so many
   * a minute, beyond which a caller is blocked for `DDOS_BLOCK_DURATION` seconds (300). Ask `ddos` first and by itself (a
   * middleware of its own): several limits in one call are charged all or none, so what `default` refuses would not count.
   */
  readonly limits: readonly FixedWindow[];
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Options from environment variables. An empty one counts as not given.
 *
 * @throws {@link LimiterError} naming the variable whose value is wrong
 * @example
 * const { redisUrl, limiter, limits } = fromEnv();
 * const client = await createClient({ url: redisUrl }).connect();
 * const rateLimiter = createLimiter(client, limiter);
 */
export function fromEnv(env: Env = process.env): EnvOptions {
  const prefix = env.RATE_LIMIT_KEY_PREFIX || "rl:";
  checkPrefix("RATE_LIMIT_KEY_PREFIX", prefix);
  const windowMs = whole(env, "RATE_LIMIT_WINDOW_MS", 60_000, 1, 3660 * 86_400_000);
  const requests = whole(env, "RATE_LIMIT_MAX_REQUESTS", 100, 0, MAX_UNITS);
  const threshold = whole(env, "DDOS_THRESHOLD", undefined, 1, MAX_UNITS);
  const seconds = whole(env, "DDOS_BLOCK_DURATION", 300, 1, 3660 * 86_400);
  const limits = [fixedWindow({ limit: requests, window: `${windowMs}ms`, name: "default" })];
  if (threshold !== undefined) {
    limits.push(fixedWindow({ limit: threshold, window: "1m", name: "ddos", block: { for: `${seconds}s` } }));
  }
  return {
    enabled: flag(env, "RATE_LIMIT_ENABLED", true),
    redisUrl: url(env),
    cluster: flag(env, "RATE_LIMIT_CLUSTER_MODE", false),
    limiter: { prefix, onUnavailable: flag(env, "RATE_LIMIT_FAIL_OPEN", true) ? "open" : "closed" },
    limits,
  };
}

function url(env: Env): string {
  const { REDIS_URL, REDIS_HOST, REDIS_PASSWORD } = env;
  if (REDIS_URL) {
    // Its text is not shown: there may be a password in it.
    if (!/^(rediss?|valkeys?):\/\/./.test(REDIS_URL) || !URL.canParse(REDIS_URL)) {
      throw new LimiterError("REDIS_URL must be a URL such as redis://localhost:6379 or rediss://…");
    }
    return REDIS_URL;
  }
  const port = whole(env, "REDIS_PORT", 6379, 1, 65_535);
  const password = REDIS_PASSWORD ? `:${encodeURIComponent(REDIS_PASSWORD)}@` : "";
  const host = REDIS_HOST || "localhost";
  const made = `redis://${password}${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
  if (/[\s/?#@]/.test(host) || !URL.canParse(made)) {
    throw new LimiterError(`REDIS_HOST must be the name or address of a host, not ${shown(host)}`);
  }
  return made;
}

function whole<D extends number | undefined>(
  env: Env,
  name: string,
  otherwise: D,
  least: number,
  most: number,
): number | D {
  const text = env[name];
  if (text === undefined || text === "") return otherwise;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new LimiterError(`${name} must be a whole number from ${least} to ${most}, not ${shown(text)}`);
  }
  return value;
}

function flag(env: Env, name: string, otherwise: boolean): boolean {
  const text = env[name];
  if (text === undefined || text === "") return otherwise;
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  if (/^(false|0|no|off)$/i.test(text)) return false;
  throw new LimiterError(`${name} must be true or false, not ${shown(text)}`);
}
