import { createHash } from "node:crypto";
import type { BreakerState } from "./breaker.js";
import type { AllDecision, Decision } from "./decision.js";
import { LimiterError, UnavailableError } from "./errors.js";
import type { Key } from "./keys.js";
import type { AnyLimit } from "./limits.js";
import type { Metrics } from "./metrics.js";
import { type Item, nameOf, type Place } from "./words.js";

/** What a decision was about, for logs. */
export interface DecisionEvent {
  readonly key: Key;
  readonly limit: AnyLimit;
  /** The limit's name, or one like `fixed-1m`. */
  readonly name: string;
  /** The key for a log that shall hold no addresses or ids: 16 hex digits of its SHA-256. It tells callers apart. */
  readonly keyHash: string;
  /** `info`: allowed. `warning`: denied, or used beyond the limit. `error`: blocked, or used twice the limit or more. */
  readonly severity: "info" | "warning" | "error";
}

/** Told of every decision of `consume`, `consumeAll` and `acquire`; it must not take long. */
export type OnDecision = (decision: Decision, event: DecisionEvent) => void;

/** Tells metrics and `onDecision`. Whatever they throw: no call fails of it. */
export class Report {
  readonly #metrics: Metrics | undefined;
  readonly #onDecision: OnDecision | undefined;

  constructor(metrics: Metrics | undefined, onDecision: OnDecision | undefined) {
    if (onDecision !== undefined && typeof onDecision !== "function") {
      throw new LimiterError("onDecision must be a function");
    }
    this.#metrics = metrics;
    this.#onDecision = onDecision;
  }

  /** Measures from now on; call what it answers once the call is decided. */
  start(): (decided: () => void) => void {
    const metrics = this.#metrics;
    if (!metrics) return (decided) => decided();
    const from = performance.now();
    return (decided) => {
      guarded(() => metrics.duration((performance.now() - from) / 1000));
      decided();
    };
  }

  decision(decision: Decision, place: Place): void {
    const { key, limit } = place;
    const { allowed, blocked, source } = decision;
    const outcome = allowed ? "allowed" : blocked ? "blocked" : "refused";
    guarded(() => this.#metrics?.request({ limiter: nameOf(limit), outcome, source }));
    const tell = this.#onDecision;
    if (tell) guarded(() => tell(decision, new Event(decision, key, limit)));
  }

  /** A call of several limits counts under each; one that was denied only under those that deny. */
  all({ allowed, decisions }: AllDecision, items: readonly Item[]): void {
    for (const [i, decision] of decisions.entries()) {
      const item = items[i];
      if (item && decision && (allowed || !decision.allowed)) this.decision(decision, item);
    }
  }

  /** An error of Redis, passed on. */
  error<T>(error: T, limit?: AnyLimit): T {
    const limiter = limit ? nameOf(limit) : "";
    if (error instanceof UnavailableError && error.kind !== "breaker") {
      guarded(() => this.#metrics?.redisError({ limiter, kind: error.kind }));
    } else if (error instanceof LimiterError) {
      guarded(() => this.#metrics?.redisError({ limiter, kind: "mistake" }));
    }
    return error;
  }

  readonly breaker = (from: BreakerState | null, to: BreakerState | null): void => {
    guarded(() => this.#metrics?.breaker({ from, to }));
  };

  regionDropped(region: number, reason: "age" | "full" | "error", units: number): void {
    if (units > 0) {
      guarded(() => this.#metrics?.regionDropped?.({ region: String(region), reason }, units));
    }
  }
}

/** Hashes only where somebody looks. */
class Event implements DecisionEvent {
  readonly key: Key;
  readonly limit: AnyLimit;
  readonly name: string;
  readonly severity: "info" | "warning" | "error";

  constructor({ allowed, blocked, used, limit: inForce }: Decision, key: Key, limit: AnyLimit) {
    this.key = key;
    this.limit = limit;
    this.name = nameOf(limit);
    const beyond = used > inForce;
    this.severity =
      blocked || (beyond && used >= 2 * inForce) ? "error" : !allowed || beyond ? "warning" : "info";
  }

  get keyHash(): string {
    const text = typeof this.key === "string" ? this.key : `${this.key.tag}\0${this.key.id}`;
    return createHash("sha256").update(text).digest("hex").slice(0, 16);
  }
}

let warned = false;

function guarded(run: () => unknown): void {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(warn);
  } catch (error) {
    warn(error);
  }
}

/** Once a process: a broken log line shall neither deny a caller nor flood the log. */
function warn(error: unknown): void {
  if (warned) return;
  warned = true;
  if (typeof process === "object" && typeof process.emitWarning === "function") {
    process.emitWarning(`metrics or onDecision threw: ${String(error)}`, "LimiterWarning");
  }
}
