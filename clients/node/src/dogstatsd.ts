import type { StatsD } from "hot-shots";
import { BreakerGauge, type Metrics } from "./metrics.js";

/**
 * Metrics for DogStatsD, by hot-shots: `rate_limit.requests_total`, `rate_limit.redis_errors_total`,
 * `rate_limit.breaker_state`, `rate_limit.check_duration_seconds` and `rate_limit.region_dropped_units_total`, their labels as
 * tags. Make one for each client of hot-shots: its breakers are counted together. Sampling, prefix and closing are the client's.
 *
 * @example createLimiter(client, { metrics: dogstatsdMetrics(new StatsD()) })
 */
export function dogstatsdMetrics(client: Pick<StatsD, "increment" | "gauge" | "histogram">): Metrics {
  const breakers = new BreakerGauge();
  return {
    request: (labels) => client.increment("rate_limit.requests_total", 1, { ...labels }),
    duration: (took) => client.histogram("rate_limit.check_duration_seconds", took),
    redisError: (labels) => client.increment("rate_limit.redis_errors_total", 1, { ...labels }),
    breaker: (change) => client.gauge("rate_limit.breaker_state", breakers.change(change)),
    regionDropped: (labels, units) =>
      client.increment("rate_limit.region_dropped_units_total", units, { ...labels }),
  };
}
