import { ask, type Core, unavailable } from "./core.js";
import { type Decision, decisionFrom } from "./decision.js";
import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import type { LeaseLimit } from "./limits.js";
import { leaseCommand, type Place, stateKey } from "./words.js";

/** A decision that denies. */
export type Refused = Decision & { readonly allowed: false };

type LeasePlace = Place & { readonly limit: LeaseLimit };

/** `Symbol.asyncDispose`, where the reader's TypeScript has it: else the types of this package would be an error to it. */
type AsyncDispose = SymbolConstructor extends { readonly asyncDispose: infer S extends symbol } ? S : never;

/** As {@link Lease.release}, for `await using`. */
export type Disposing = { readonly [S in AsyncDispose]: () => Promise<void> };

/**
 * A place among the holders of a lease limit, until it is released or not renewed for its `ttl`. Where JavaScript has it,
 * `await using` releases it.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: its static block makes what the interface tells.
export class Lease implements Decision {
  readonly allowed = true;
  readonly granted: number;
  readonly limit: number;
  readonly remaining: number;
  readonly retryAfterMs = 0;
  readonly delayMs = 0;
  readonly resetAfterMs: number;
  readonly nextAfterMs: number | null;
  readonly used: number;
  readonly source: Decision["source"];
  readonly blocked = false;
  /** The holder's id, unguessable. */
  readonly id: string;
  readonly #core: Core;
  readonly #place: LeasePlace;
  /** Whether Redis knows this holder, as far as we know. */
  #inRedis: boolean;
  readonly #mayBeInRedis: boolean;
  /** Redis said so: it is not taken anew behind the caller's back. */
  #lost = false;
  #renewing: Promise<boolean> | undefined;
  #releasing: Promise<boolean> | undefined;

  /** @internal */
  constructor(core: Core, place: LeasePlace, id: string, decision: Decision, mayBeInRedis: boolean) {
    this.granted = decision.granted;
    this.limit = decision.limit;
    this.remaining = decision.remaining;
    this.resetAfterMs = decision.resetAfterMs;
    this.nextAfterMs = decision.nextAfterMs;
    this.used = decision.used;
    this.source = decision.source;
    this.id = id;
    this.#core = core;
    this.#place = place;
    this.#inRedis = decision.source === "redis";
    this.#mayBeInRedis = mayBeInRedis;
  }

  static {
    if (Symbol.asyncDispose) {
      Object.defineProperty(Lease.prototype, Symbol.asyncDispose, {
        value: async function (this: Lease) {
          await this.release();
        },
      });
    }
  }

  /**
   * Holds on for another `ttl` from now: call it well before the `ttl` is over. One that was acquired while Redis was away
   * is taken there, if it still fits.
   *
   * @returns false where it is lost, or released; and where Redis is away: it may stand until its `ttl`
   */
  renew(): Promise<boolean> {
    if (this.#releasing) return Promise.resolve(false);
    const end = performance.now() + this.#core.redis.timeoutMs;
    const next = () => this.#renew(end);
    const renewing = this.#renewing?.then(next, next) ?? next();
    this.#renewing = renewing;
    return renewing;
  }

  /**
   * Lets go. A second call does nothing, unless the first could not reach Redis.
   *
   * @returns false where it was lost before, or released; and where Redis is away: it then ends with its `ttl`
   */
  async release(): Promise<boolean> {
    if (this.#releasing) {
      await this.#releasing.catch(() => {});
      return false;
    }
    const releasing = this.#release();
    this.#releasing = releasing;
    return releasing;
  }

  /** @param end - when nobody waits any more: it may begin after another one */
  async #renew(end: number): Promise<boolean> {
    const { fallback } = this.#core;
    const place = this.#place;
    if (this.#lost || this.#releasing) return false;
    const memory = this.source === "memory" && !this.#inRedis ? fallback.memory : undefined;
    const words = leaseCommand(place, this.id, this.#inRedis);
    try {
      const reply = await ask(this.#core, words, stateKey(place), place.limit, {
        timeoutMs: leftUntil(end),
      });
      const { allowed } = decisionFrom(reply, place.limit, {});
      memory?.release(place, this.id);
      this.#inRedis = allowed;
      this.#lost = !allowed;
      return allowed;
    } catch (error) {
      unavailable(error);
      return memory?.renew(place, this.id) ?? false;
    }
  }

  async #release(): Promise<boolean> {
    const end = performance.now() + this.#core.redis.timeoutMs;
    await this.#renewing?.catch(() => {}); // Its order must not be turned around on the way.
    if (this.#lost) return false;
    const key = stateKey(this.#place);
    const local = this.#core.fallback.memory?.release(this.#place, this.id) ?? false;
    if (!this.#inRedis && !this.#mayBeInRedis) return local || this.source !== "memory";
    try {
      const count = await ask(this.#core, ["RL.RELEASE", key, this.id], key, this.#place.limit, {
        timeoutMs: leftUntil(end),
      });
      return Number(count) > 0 || local;
    } catch (error) {
      this.#releasing = undefined;
      unavailable(error);
      return local;
    }
  }
}

export interface Lease extends Disposing {}

/** Takes a lease, or tells how long to wait. */
export async function acquire(core: Core, place: LeasePlace, id: string): Promise<Lease | Refused> {
  checkId(id);
  core.regions?.check(place.limit);
  const key = stateKey(place);
  const words = leaseCommand(place, id, false);
  const decided = core.report.start();
  let decision: Decision;
  let mayHaveRun = false;
  try {
    decision = decisionFrom(await ask(core, words, key, place.limit), place.limit, {});
  } catch (error) {
    const reason = unavailable(error);
    mayHaveRun = reason.mayHaveRun;
    decision = await core.fallback.one(reason, { ...place, charge: {}, id });
    if (mayHaveRun && !decision.allowed) void giveUp(core, key, id, place.limit);
  }
  decided(() => core.report.decision(decision, place));
  return decision.allowed ? new Lease(core, place, id, decision, mayHaveRun) : (decision as Refused);
}

/** Nobody holds what came too late: it shall not be taken until its ttl. */
async function giveUp(core: Core, key: string, id: string, limit: LeaseLimit): Promise<void> {
  await ask(core, ["RL.RELEASE", key, id], key, limit).catch(() => {});
}

/** It is sent in any case, though it may be too late to wait for the answer. */
const leftUntil = (end: number) => Math.max(1, Math.ceil(end - performance.now()));

function checkId(id: unknown): void {
  const bytes = typeof id === "string" ? new TextEncoder().encode(id).length : 0;
  if (bytes < 1 || bytes > 128) throw new LimiterError(`id must be 1 to 128 bytes, not ${shown(id)}`);
}
