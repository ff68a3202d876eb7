import type { BreakerState } from "./breaker.js";
import type { Source } from "./decision.js";
import type { UnavailableKind } from "./errors.js";

/**
 * Where measurements go: `/prometheus` and `/dogstatsd` make one, OpenTelemetry can be put behind it. Labels are few:
 * a limit's name, never a caller's key. What a method throws is swallowed, with a warning of the process.
 */
export interface Metrics {
  /** One more call was decided: `rate_limit_requests_total`. `limiter` is the limit's name. */
  request(labels: {
    readonly limiter: string;
    readonly outcome: "allowed" | "refused" | "blocked";
    readonly source: Source;
  }): void;
  /** How long a decision took, in seconds: `rate_limit_check_duration_seconds`. */
  duration(seconds: number): void;
  /**
   * Redis failed, or called a command a mistake: `rate_limit_redis_errors_total`. `limiter` is the limit's name, `''` where there is
   * none; `mistake` is what was thrown as a LimiterError. A call that an open breaker stopped is none.
   */
  redisError(labels: { readonly limiter: string; readonly kind: UnavailableKind | "mistake" }): void;
  /**
   * A breaker changed, of this limiter or of one of its regions: `rate_limit_breaker_state`. `from` is null where it is new,
   * `to` is null where its limiter is closed: several share one gauge, see {@link BreakerGauge}.
   */
  breaker(change: { readonly from: BreakerState | null; readonly to: BreakerState | null }): void;
  /**
   * Units that another region will not hear of: `rate_limit_region_dropped_units_total`. `region` is its place in
   * `regions.others`, from 0; `reason` is `age`, `full` (too many keys wait) or `error` (it may not have come through).
   */
  regionDropped?(
    labels: { readonly region: string; readonly reason: "age" | "full" | "error" },
    units: number,
  ): void;
}

/** One figure for several breakers: 1 where any is open, else 2 where any is half-open, else 0. */
export class BreakerGauge {
  readonly #count: Record<BreakerState, number> = { closed: 0, open: 0, "half-open": 0 };

  /** Counts a change and answers the figure. */
  change({ from, to }: Parameters<Metrics["breaker"]>[0]): 0 | 1 | 2 {
    if (from) this.#count[from]--;
    if (to) this.#count[to]++;
    return this.#count.open > 0 ? 1 : this.#count["half-open"] > 0 ? 2 : 0;
  }
}

/** The histogram's buckets, in seconds: a decision takes a fraction of a millisecond, a time-out a quarter of a second. */
export const DURATION_BUCKETS: readonly number[] = [
  0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];
