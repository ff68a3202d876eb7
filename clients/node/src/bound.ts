import type { Decision } from "./decision.js";
import type { Duration } from "./duration.js";
import type { Key } from "./keys.js";
import type { Lease, Refused } from "./leases.js";
import type { Limiter } from "./limiter.js";
import type { LeaseLimit, Limit } from "./limits.js";
import { Prefetch, type PrefetchOptions } from "./prefetch.js";
import type { Override } from "./protection.js";
import { type Charge, checkCharge } from "./words.js";

/** Options of `limiter.for`. */
export interface BoundOptions {
  /** Takes units ahead, for a key hotter than one server: see {@link PrefetchOptions}. Off unless given. */
  readonly prefetch?: PrefetchOptions;
}

/** A limiter with its limit: what `limiter.for(name, limit)` answers. */
export class BoundLimiter<L extends Limit = Limit> {
  /** The limit, named. */
  readonly limit: L;
  readonly #limiter: Limiter;
  readonly #ahead: ((key: Key, charge: Charge) => Promise<Decision>) | undefined;

  /** @internal */
  constructor(limiter: Limiter, limit: L, ahead?: (key: Key, charge: Charge) => Promise<Decision>) {
    this.#limiter = limiter;
    this.limit = limit;
    this.#ahead = ahead;
  }

  /** {@link Limiter.consume} */
  async consume(key: Key, charge: Charge = {}): Promise<Decision> {
    checkCharge(charge);
    return this.#ahead && Prefetch.serves(charge)
      ? this.#ahead(key, charge)
      : this.#limiter.consume(key, this.limit, charge);
  }

  /** {@link Limiter.peek} */
  peek(key: Key, charge?: Pick<Charge, "cost">): Promise<Decision> {
    return this.#limiter.peek(key, this.limit, charge);
  }

  /** {@link Limiter.refund} */
  refund(key: Key, units?: number): Promise<Decision | false> {
    return this.#limiter.refund(key, this.limit, units);
  }

  /** {@link Limiter.settle} */
  settle(key: Key, usage: { readonly reserved: number; readonly actual: number }): Promise<Decision | false> {
    return this.#limiter.settle(key, this.limit, usage);
  }

  /** {@link Limiter.block} */
  block(key: Key, span: Duration): Promise<void> {
    return this.#limiter.block(key, this.limit, span);
  }

  /** {@link Limiter.unblock} */
  unblock(key: Key): Promise<boolean> {
    return this.#limiter.unblock(key, this.limit);
  }

  /** {@link Limiter.override} */
  override(key: Key, numbers: Override): Promise<void> {
    return this.#limiter.override(key, this.limit, numbers);
  }

  /** {@link Limiter.clearOverride} */
  clearOverride(key: Key): Promise<boolean> {
    return this.#limiter.clearOverride(key, this.limit);
  }

  /** {@link Limiter.reset}, of this limit alone. */
  reset(key: Key): Promise<boolean> {
    return this.#limiter.reset(key, this.limit);
  }
}

/** A limiter with its lease limit: what `limiter.for(name, lease(…))` answers. */
export class BoundLease<L extends LeaseLimit = LeaseLimit> {
  /** The limit, named. */
  readonly limit: L;
  readonly #limiter: Limiter;

  /** @internal */
  constructor(limiter: Limiter, limit: L) {
    this.#limiter = limiter;
    this.limit = limit;
  }

  /** {@link Limiter.acquire} */
  acquire(key: Key, options?: { readonly id?: string }): Promise<Lease | Refused> {
    return this.#limiter.acquire(key, this.limit, options);
  }

  /** {@link Limiter.override} */
  override(key: Key, numbers: Override): Promise<void> {
    return this.#limiter.override(key, this.limit, numbers);
  }

  /** {@link Limiter.clearOverride} */
  clearOverride(key: Key): Promise<boolean> {
    return this.#limiter.clearOverride(key, this.limit);
  }

  /** {@link Limiter.reset}: all holders are gone. */
  reset(key: Key): Promise<boolean> {
    return this.#limiter.reset(key, this.limit);
  }
}
