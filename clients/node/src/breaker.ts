import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";
import { whole } from "./check.js";
import { shown } from "./duration.js";
import { LimiterError, UnavailableError } from "./errors.js";

/** When Redis is given up for a while, so that a hanging one costs nobody `timeoutMs` for long. */
export interface BreakerOptions {
  /** So many failures within `windowMs` open it. A whole number, 1 or more; default 5. */
  readonly failures?: number;
  /** How far back failures count, in ms; 10 or more, default 10,000. */
  readonly windowMs?: number;
  /** And at least this share of the calls must have failed, above 0 to 1. Default 0.5. */
  readonly errorRate?: number;
  /** How long it stays open until one call probes Redis, in ms; 1 or more, default 5,000. */
  readonly resetMs?: number;
}

/** `open`: Redis is not asked. `half-open`: one call is asking, the others wait for what it finds. */
export type BreakerState = "closed" | "open" | "half-open";

const BUCKETS = 10;
const MAX_MS = 2 ** 31 - 1;

type Call = () => Promise<unknown>;

/** opossum, made at the first call: in Workers no timer may start, nor random number be drawn, at module scope. */
export class Breaker {
  readonly resetMs: number;
  readonly #failures: number;
  readonly #windowMs: number;
  readonly #errorRate: number;
  readonly #onChange: (from: BreakerState | null, to: BreakerState | null) => void;
  readonly #clock = new EventEmitter();
  #circuit: CircuitBreaker<[Call]> | undefined;
  #state: BreakerState = "closed";
  #closed = false;
  #changedAt = 0;
  #turnedAt = 0;

  /**
   * @param onChange - told of each change of state; from null at the first call, to null when closed down
   * @throws {@link LimiterError} naming the option that is wrong
   */
  constructor(
    options: BreakerOptions = {},
    onChange: (from: BreakerState | null, to: BreakerState | null) => void = () => {},
  ) {
    const { failures = 5, windowMs = 10_000, errorRate = 0.5, resetMs = 5_000 } = options;
    whole("breaker.failures", failures, 1, Number.MAX_SAFE_INTEGER);
    whole("breaker.windowMs", windowMs, BUCKETS, MAX_MS);
    whole("breaker.resetMs", resetMs, 1, MAX_MS);
    if (typeof errorRate !== "number" || !(errorRate > 0 && errorRate <= 1)) {
      throw new LimiterError(`breaker.errorRate must be above 0, at most 1, not ${shown(errorRate)}`);
    }
    this.#failures = failures;
    this.#windowMs = windowMs;
    this.#errorRate = errorRate;
    this.resetMs = resetMs;
    this.#onChange = onChange;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /**
   * How long until Redis is asked again, in ms, 1 or more: of a breaker that is closed, a pause as long as an open one's.
   *
   * @param timeoutMs - when a probe under way is over at the latest
   */
  nextProbeMs(timeoutMs: number): number {
    if (this.#state === "closed") return this.resetMs;
    if (this.#state === "half-open") return timeoutMs;
    return Math.max(1, Math.ceil(this.#changedAt + this.resetMs - performance.now()));
  }

  /**
   * Makes a call, unless the breaker is open.
   *
   * @throws {@link UnavailableError} of kind `breaker`; what the call throws. A {@link LimiterError} is no failure.
   */
  async run(call: Call): Promise<unknown> {
    if (this.#closed) return call();
    this.#circuit ??= this.#make();
    const circuit = this.#circuit;
    if (!circuit.closed && !circuit.pendingClose) {
      throw new UnavailableError("breaker", "Redis has failed too often and is given a rest");
    }
    this.#turn();
    return circuit.fire(call);
  }

  /** Stops its timer; it lets every call through afterwards. */
  close(): void {
    this.#closed = true;
    this.#circuit?.shutdown();
    if (this.#circuit) this.#onChange(this.#state, null);
    this.#circuit = undefined;
    this.#state = "closed";
  }

  #make(): CircuitBreaker<[Call]> {
    const circuit = new CircuitBreaker<[Call]>((call) => call(), {
      timeout: false, // Every call has its own.
      resetTimeout: this.resetMs,
      errorFilter: (error) => error instanceof LimiterError,
      volumeThreshold: Number.MAX_SAFE_INTEGER, // It counts calls; ours counts failures.
      rollingCountTimeout: this.#windowMs,
      rollingCountBuckets: BUCKETS,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      // Its buckets are turned by us when a call comes, so that it needs no interval.
      rotateBucketController: this.#clock,
    });
    this.#turnedAt = performance.now();
    circuit.on("failure", () => {
      const { failures, successes } = circuit.stats;
      if (failures < this.#failures || failures / (failures + successes) < this.#errorRate) return;
      circuit.open();
    });
    // It keeps the latency of every call of the window, which nobody reads.
    const forget = () => {
      const [bucket] = circuit.status.window as unknown as { latencyTimes: number[] }[];
      if (bucket) bucket.latencyTimes.length = 0;
    };
    circuit.on("success", forget);
    circuit.on("failure", forget);
    circuit.on("open", () => this.#change("open"));
    circuit.on("halfOpen", () => this.#change("half-open"));
    circuit.on("close", () => {
      for (let i = 0; i < BUCKETS; i++) this.#clock.emit("rotate"); // What failed before it recovered is past.
      this.#change("closed");
    });
    this.#onChange(null, "closed");
    return circuit;
  }

  #turn(): void {
    const each = this.#windowMs / BUCKETS;
    const turns = Math.floor((performance.now() - this.#turnedAt) / each);
    if (turns === 0) return;
    this.#turnedAt += turns * each;
    for (let i = 0; i < Math.min(turns, BUCKETS); i++) this.#clock.emit("rotate");
  }

  #change(to: BreakerState): void {
    const from = this.#state;
    this.#state = to;
    this.#changedAt = performance.now();
    this.#onChange(from, to);
  }
}
