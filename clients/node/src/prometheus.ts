import { Counter, Gauge, Histogram, type Registry, register } from "prom-client";
import { BreakerGauge, DURATION_BUCKETS, type Metrics } from "./metrics.js";

/** Options of {@link prometheusMetrics}. */
export interface PrometheusOptions {
  /** The registry that is scraped. Default prom-client's own, `register`. */
  readonly registry?: Registry;
}

/** Breakers of all limiters of a registry are counted together. */
const gauges = new WeakMap<Registry, BreakerGauge>();

/**
 * Metrics for Prometheus, by prom-client: `rate_limit_requests_total`, `rate_limit_redis_errors_total`,
 * `rate_limit_breaker_state`, `rate_limit_check_duration_seconds` and `rate_limit_region_dropped_units_total`. Limiters that
 * share a registry share them.
 *
 * @example createLimiter(client, { metrics: prometheusMetrics() })
 */
export function prometheusMetrics({ registry = register }: PrometheusOptions = {}): Metrics {
  const registers = [registry];
  const requests = one(
    registry,
    "rate_limit_requests_total",
    (name) =>
      new Counter({
        name,
        help: "Calls decided, by limit, outcome and who decided",
        labelNames: ["limiter", "outcome", "source"],
        registers,
      }),
  );
  const errors = one(
    registry,
    "rate_limit_redis_errors_total",
    (name) =>
      new Counter({
        name,
        help: "Commands that Redis did not answer, or called mistakes",
        labelNames: ["limiter", "kind"],
        registers,
      }),
  );
  const state = one(
    registry,
    "rate_limit_breaker_state",
    (name) =>
      new Gauge({ name, help: "0: Redis is asked; 1: a breaker is open; 2: one is half-open", registers }),
  );
  const seconds = one(
    registry,
    "rate_limit_check_duration_seconds",
    (name) =>
      new Histogram({ name, help: "How long decisions took", buckets: [...DURATION_BUCKETS], registers }),
  );
  const dropped = one(
    registry,
    "rate_limit_region_dropped_units_total",
    (name) =>
      new Counter({
        name,
        help: "Units that another region will not hear of",
        labelNames: ["region", "reason"],
        registers,
      }),
  );
  const breakers = gauges.get(registry) ?? new BreakerGauge();
  gauges.set(registry, breakers);
  return {
    request: (labels) => requests.inc({ ...labels }),
    duration: (took) => seconds.observe(took),
    redisError: (labels) => errors.inc({ ...labels }),
    breaker: (change) => state.set(breakers.change(change)),
    regionDropped: (labels, units) => dropped.inc({ ...labels }, units),
  };
}

/** What the registry has by that name, else a new one. */
function one<M>(registry: Registry, name: string, make: (name: string) => M): M {
  return (registry.getSingleMetric(name) as M | undefined) ?? make(name);
}
