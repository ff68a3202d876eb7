import { Breaker, type BreakerOptions } from "./breaker.js";
import { whole } from "./check.js";
import type { RedisClient } from "./clients/index.js";
import { Connection } from "./connection.js";
import { shown } from "./duration.js";
import { LimiterError, UnavailableError } from "./errors.js";
import { checkPrefix } from "./keys.js";
import { type AnyLimit, type Limit, MAX_UNITS } from "./limits.js";
import type { Report } from "./report.js";
import { later, within } from "./within.js";
import { command, type Place, stateKey } from "./words.js";

/**
 * Several regions that count together: the near one decides, and what it charged, refunded or settled is charged in the
 * others too, in the background. The overshoot is what was charged within the lag. For token and leaky buckets, sliding
 * counters and fixed windows with `align`, which all regions count alike; `reset`, blocks and overrides are the near one's.
 */
export interface RegionsOptions {
  /** Connected clients of the other regions, 1 to 64. */
  readonly others: readonly RedisClient[];
  /** How long charges are gathered, by key, before they are sent on, in ms: 1 to 60,000. Default 100. */
  readonly lagMs?: number;
  /** What a region that is away has not heard of by then is dropped, in ms: 1 to 3,600,000. Default 10,000. */
  readonly maxAgeMs?: number;
  /** Keys that wait for a region at most; further ones are dropped: 1 to 10,000,000. Default 10,000. */
  readonly max?: number;
}

interface Waiting {
  readonly place: Place & { readonly limit: Limit };
  units: number;
  /** When the oldest of its units was charged. */
  since: number;
}

/** Commands under way to a region at a time. */
const AT_ONCE = 128;

/** {@link RegionsOptions} */
export class Regions {
  readonly #regions: readonly Region[];

  /** @throws {@link LimiterError} naming the option that is wrong */
  constructor(
    { others, lagMs = 100, maxAgeMs = 10_000, max = 10_000 }: RegionsOptions,
    {
      prefix,
      timeoutMs,
      breaker,
      report,
    }: {
      readonly prefix: string;
      readonly timeoutMs: number | undefined;
      readonly breaker: BreakerOptions | false;
      readonly report: Report;
    },
  ) {
    if (!Array.isArray(others) || others.length < 1 || others.length > 64) {
      throw new LimiterError(`regions.others must be an array of 1 to 64 clients, not ${shown(others)}`);
    }
    whole("regions.lagMs", lagMs, 1, 60_000);
    whole("regions.maxAgeMs", maxAgeMs, 1, 3_600_000);
    whole("regions.max", max, 1, 10_000_000);
    this.#regions = others.map((client: RedisClient, index) => {
      const own = breaker === false ? undefined : new Breaker(breaker, report.breaker);
      const redis = new Connection(client, timeoutMs, own);
      checkPrefix("the keyPrefix of a client of regions.others", redis.keyPrefix);
      return new Region(redis, own, redis.keyPrefix + prefix, { lagMs, maxAgeMs, max, index, report });
    });
  }

  /**
   * @throws {@link LimiterError} where the limit is none that regions count alike
   */
  check(limit: AnyLimit): void {
    const { algorithm } = limit;
    if (
      algorithm === "slidingLog" ||
      algorithm === "lease" ||
      (algorithm === "fixedWindow" && !limit.align)
    ) {
      throw new LimiterError(
        `limit must be a bucket, a sliding counter or a fixed window with align: true where there are regions, not ${algorithm}`,
      );
    }
  }

  /** Notes what the near region has charged; given back where below 0. */
  add(place: Place, units: number): void {
    if (units === 0 || place.limit.algorithm === "lease") return;
    for (const region of this.#regions) region.add({ ...place, limit: place.limit }, units);
  }

  /** Sends what waits, as far as it goes within `timeoutMs`, and stops. */
  async close(): Promise<void> {
    await Promise.all(this.#regions.map((region) => region.close()));
  }
}

class Region {
  readonly #redis: Connection;
  readonly #breaker: Breaker | undefined;
  readonly #prefix: string;
  readonly #options: { lagMs: number; maxAgeMs: number; max: number; index: number; report: Report };
  #waiting = new Map<string, Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(
    redis: Connection,
    breaker: Breaker | undefined,
    prefix: string,
    options: { lagMs: number; maxAgeMs: number; max: number; index: number; report: Report },
  ) {
    this.#redis = redis;
    this.#breaker = breaker;
    this.#prefix = prefix;
    this.#options = options;
  }

  add(near: Place & { readonly limit: Limit }, units: number): void {
    this.#put({ place: { ...near, prefix: this.#prefix }, units, since: performance.now() });
    this.#schedule();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const last = async () => {
      await this.#sending;
      await this.#send();
    };
    await within(this.#redis.timeoutMs, last());
    this.#closed = true;
    for (const { units } of this.#waiting.values()) this.#drop("age", units);
    this.#waiting.clear();
    this.#breaker?.close();
  }

  #put(more: Waiting): void {
    if (this.#closed) {
      this.#drop("age", more.units);
      return;
    }
    const id = command(more.place, { cost: 0 }).join(" ");
    const found = this.#waiting.get(id);
    if (found) {
      found.units = Math.max(-MAX_UNITS, Math.min(MAX_UNITS, found.units + more.units));
      found.since = Math.min(found.since, more.since);
    } else if (this.#waiting.size < this.#options.max) this.#waiting.set(id, more);
    else this.#drop("full", more.units);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#closed || this.#waiting.size === 0) return;
    this.#timer = later(this.#options.lagMs, () => {
      this.#sending = this.#send().finally(() => {
        this.#timer = undefined;
        this.#sending = undefined;
        this.#schedule();
      });
    });
  }

  /** Sends what waits, each once; what surely did not arrive waits again. */
  async #send(): Promise<void> {
    const now = performance.now();
    for (const [id, { since, units }] of this.#waiting) {
      if (since + this.#options.maxAgeMs > now) continue;
      this.#waiting.delete(id);
      this.#drop("age", units);
    }
    if (this.#breaker?.state === "open") return;
    const batch = [...this.#waiting.values()].filter(({ units }) => units !== 0);
    this.#waiting = new Map();
    const next = batch.values();
    const sender = async () => {
      for (const waiting of next) await this.#one(waiting);
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, batch.length) }, sender));
  }

  async #one(waiting: Waiting): Promise<void> {
    const { place, units } = waiting;
    try {
      await this.#redis.ask(command(place, { cost: units, mode: "force" }), stateKey(place));
    } catch (error) {
      this.#options.report.error(error, place.limit);
      if (error instanceof UnavailableError && !error.mayHaveRun) this.#put(waiting);
      else this.#drop("error", units);
    }
  }

  #drop(reason: "age" | "full" | "error", units: number): void {
    this.#options.report.regionDropped(this.#options.index, reason, units);
  }
}
