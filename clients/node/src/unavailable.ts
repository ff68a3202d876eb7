import { type AllDecision, closedDecision, combine, type Decision, openDecision } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError, type UnavailableError } from "./errors.js";
import { MemoryFallback, type MemoryFallbackOptions } from "./fallback.js";
import type { Key } from "./keys.js";
import type { AnyLimit } from "./limits.js";
import type { Charge, Item } from "./words.js";

/** A call that Redis did not decide. */
export interface UnansweredCall extends Charge {
  readonly key: Key;
  readonly limit: AnyLimit;
}

/**
 * What a call is answered while Redis is away:
 * - `'open'`: allowed. The limit does not hold meanwhile.
 * - `'closed'`: denied, `retryAfterMs` until Redis is asked again.
 * - `{ memory: { share, max } }`: this process holds `share` of every limit by itself, in a fixed window.
 * - a function: either word, or a decision of its own.
 */
export type OnUnavailable =
  | "open"
  | "closed"
  | { readonly memory: MemoryFallbackOptions }
  | ((
      error: UnavailableError,
      call: UnansweredCall,
    ) => "open" | "closed" | Decision | Promise<"open" | "closed" | Decision>);

/** Without a breaker: when Redis will be asked again, as far as a denied caller is told. */
export const NEXT_PROBE_MS = 5_000;

/** Decides in Redis' place. */
export class Fallback {
  /** What is decided in this process, where that is the choice. */
  readonly memory: MemoryFallback | undefined;
  readonly #option: OnUnavailable;
  readonly #nextProbeMs: () => number;

  /** @throws {@link LimiterError} where the option is wrong */
  constructor(option: OnUnavailable, nextProbeMs: () => number) {
    const memory = typeof option === "object" && option !== null ? option.memory : undefined;
    if (option !== "open" && option !== "closed" && typeof option !== "function" && !isOptions(memory)) {
      throw new LimiterError(
        `onUnavailable must be 'open', 'closed', { memory: {…} } or a function, not ${shown(option)}`,
      );
    }
    this.#option = option;
    this.#nextProbeMs = nextProbeMs;
    this.memory = memory && new MemoryFallback(memory);
  }

  /** Whether what was charged stays charged when Redis goes away in the middle of several limits. */
  get keeps(): boolean {
    return this.#option === "open";
  }

  /** Decides one call. A peek charges nothing. */
  async one(error: UnavailableError, item: Item, peek = false): Promise<Decision> {
    const { key, limit, charge } = item;
    if (this.memory) return this.memory.decide(item, peek);
    const option = this.#option;
    const answer: unknown =
      typeof option === "function" ? await option(error, { ...charge, key, limit }) : option;
    if (answer === "open") return openDecision(limit, charge, peek);
    if (answer === "closed") return closedDecision(limit, this.#nextProbeMs());
    if (isDecision(answer)) return answer;
    throw new LimiterError(`onUnavailable must answer 'open', 'closed' or a decision, not ${shown(answer)}`);
  }

  /** Decides several, all or none. */
  async all(
    error: UnavailableError,
    items: readonly Item[],
    atomic: boolean,
    peek = false,
  ): Promise<AllDecision> {
    const decisions = this.memory
      ? this.memory.decideAll(items, peek)
      : await Promise.all(items.map((item) => this.one(error, item, peek)));
    return combine(decisions, items, atomic);
  }
}

const isOptions = (memory: unknown): memory is MemoryFallbackOptions =>
  typeof memory === "object" && memory !== null;

const isDecision = (answer: unknown): answer is Decision =>
  typeof answer === "object" && typeof (answer as Partial<Decision> | null)?.allowed === "boolean";
