import type { Decision } from "./decision.js";
import type { Key } from "./keys.js";
import type { Limiter } from "./limiter.js";
import type { Limit } from "./limits.js";
import type { Charge } from "./words.js";

/** A limiter with its limit: what `limiter.for(name, limit)` answers. */
export class BoundLimiter<L extends Limit = Limit> {
  /** The limit, named. */
  readonly limit: L;
  readonly #limiter: Limiter;

  /** @internal */
  constructor(limiter: Limiter, limit: L) {
    this.#limiter = limiter;
    this.limit = limit;
  }

  /** {@link Limiter.consume} */
  consume(key: Key, charge?: Charge): Promise<Decision> {
    return this.#limiter.consume(key, this.limit, charge);
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

  /** {@link Limiter.reset}, of this limit alone. */
  reset(key: Key): Promise<boolean> {
    return this.#limiter.reset(key, this.limit);
  }
}
