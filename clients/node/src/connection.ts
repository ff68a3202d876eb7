import type { Breaker } from "./breaker.js";
import { type Adapter, adapt, type RedisClient } from "./clients/index.js";
import { shown } from "./duration.js";
import { classify, LimiterError, UnavailableError } from "./errors.js";

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The one way to Redis: every command of this package passes here, and its failures are told apart here. */
export class Connection {
  readonly cluster: boolean;
  /** What stands before every key, since the client does not put it there. */
  readonly keyPrefix: string;
  readonly timeoutMs: number;
  readonly #adapter: Adapter;
  readonly #breaker: Breaker | undefined;

  /**
   * @param timeoutMs - how long a call waits at most
   * @param breaker - spares a Redis that is away; none unless given
   * @throws {@link LimiterError} where an argument is wrong
   */
  constructor(client: RedisClient, timeoutMs = 250, breaker?: Breaker) {
    if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
      throw new LimiterError(`timeoutMs must be a whole number of 1 or more, not ${shown(timeoutMs)}`);
    }
    this.#adapter = adapt(client);
    this.cluster = this.#adapter.cluster;
    this.keyPrefix = this.#adapter.keyPrefix;
    this.timeoutMs = timeoutMs;
    this.#breaker = breaker;
  }

  /**
   * Sends a command and answers its reply.
   *
   * @param key - the first key, which decides the node
   * @param timeoutMs - where a call of several commands has less time left
   * @throws {@link UnavailableError} where no answer can be had, within `timeoutMs`
   * @throws {@link LimiterError} where the call is a mistake
   */
  ask(
    words: string[],
    key: string,
    { readonly = false, timeoutMs = this.timeoutMs }: { readonly?: boolean; timeoutMs?: number } = {},
  ): Promise<unknown> {
    const call = () => this.#timed(words, key, readonly, timeoutMs);
    return this.#breaker ? this.#breaker.run(call) : call();
  }

  #timed(words: string[], key: string, readonly: boolean, timeoutMs: number): Promise<unknown> {
    const late = new AbortController();
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        reject(new UnavailableError("timeout", `no answer within ${timeoutMs} ms`));
        late.abort();
      };
      const timer = setTimeout(() => afterArrivals(giveUp), timeoutMs);
      // A process that has nothing else to do may end. Workers' timers are numbers.
      if (typeof timer === "object") timer.unref();
      this.#send(words, { key, readonly, signal: late.signal })
        .then(resolve, (error: unknown) => reject(classify(error, words[0] ?? "", key)))
        .finally(() => clearTimeout(timer));
    });
  }

  /** Async, so that what a client throws at once is a rejection too. */
  async #send(...call: Parameters<Adapter["send"]>): Promise<unknown> {
    return this.#adapter.send(...call);
  }
}

/** After a busy spell Node runs timers before it reads sockets: an answer that has arrived shall count. */
function afterArrivals(run: () => void): void {
  if (typeof setImmediate === "function") setImmediate(run);
  else run();
}
