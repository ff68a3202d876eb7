import { type Decision, decisionFrom } from "../decision.js";
import { LimiterError } from "../errors.js";
import type { Limit } from "../limits.js";
import { command, type Place, stateField } from "../words.js";
import { StoreConnection, type StoreOptions, uncappedWindow } from "./connection.js";

export { LimiterError, UnavailableError } from "../errors.js";

/** Options of {@link fastifyRateLimitStore}. */
export type FastifyRateLimitStoreOptions = StoreOptions;

/** Of the plugin's options, or of a route's, those that a store obeys: its types tell of none. */
interface PluginOptions {
  readonly continueExceeding?: boolean;
  readonly exponentialBackoff?: boolean;
  /** A route's; empty for `fastify.rateLimit({ … })`. */
  readonly routeInfo?: { readonly method?: string | readonly string[]; readonly url?: string };
}

/** A store as \@fastify/rate-limit calls it. */
export interface FastifyRateLimitStore {
  incr(key: string, callback: Callback, timeWindow: number, max: number): void;
  read(key: string, callback: Callback, timeWindow: number, max?: number): void;
  child(routeOptions: object): FastifyRateLimitStore;
}

type Callback = (error: Error | null, result?: { current: number; ttl: number }) => void;

/**
 * The class of a store for \@fastify/rate-limit, which makes the store itself. While Redis is away calls fail within
 * `timeoutMs`, so `skipOnError` decides.
 *
 * @throws {@link LimiterError} where an option is wrong
 * @example
 * await fastify.register(rateLimit, { max: 100, timeWindow: '1 minute', store: fastifyRateLimitStore({ client }) });
 */
export function fastifyRateLimitStore(
  options: FastifyRateLimitStoreOptions,
): new (
  plugin: object,
) => FastifyRateLimitStore {
  const connection = new StoreConnection(options);
  return class extends Store {
    constructor(plugin: object) {
      super(connection, plugin, "");
    }
  };
}

class Store implements FastifyRateLimitStore {
  readonly #connection: StoreConnection;
  readonly #continueExceeding: boolean;
  readonly #route: string;

  constructor(connection: StoreConnection, plugin: PluginOptions, route: string) {
    if (plugin.exponentialBackoff) {
      throw new LimiterError(
        "exponentialBackoff is not possible with this store: use a limit with block: { for: … } instead",
      );
    }
    this.#connection = connection;
    this.#continueExceeding = plugin.continueExceeding === true;
    this.#route = route;
  }

  /** Counts a call, a denied one too. */
  incr(key: string, callback: Callback, timeWindow: number, max: number): void {
    answer(callback, async () => {
      const place = this.#place(key, timeWindow);
      return this.#continueExceeding ? this.#countOrExtend(place, max) : this.#connection.charge(place);
    });
  }

  /** What is counted, without counting. */
  read(key: string, callback: Callback, timeWindow: number): void {
    answer(callback, async () => this.#connection.peek(this.#place(key, timeWindow)));
  }

  /** A route's own store: its calls are counted apart. */
  child(routeOptions: PluginOptions): FastifyRateLimitStore {
    const { method, url } = routeOptions.routeInfo ?? {};
    // A route's pattern may hold braces, which are for the caller.
    const route = encodeURI(`${method}${url}-`);
    return new Store(this.#connection, routeOptions, this.#route + route);
  }

  async #countOrExtend(place: Place & { readonly limit: Limit }, max: number): Promise<Decision> {
    const [, key, ...words] = command(place, {}) as [string, string, ...string[]];
    const script = [
      "EVAL",
      COUNT_OR_EXTEND,
      "1",
      key,
      stateField(place.limit) as string,
      String(max),
      ...words,
    ];
    return decisionFrom(await this.#connection.ask(script, place), place.limit, {});
  }

  #place(key: string, timeWindow: number): Place & { readonly limit: Limit } {
    return this.#connection.place(String(key), uncappedWindow("timeWindow", timeWindow), this.#route);
  }
}

/**
 * `continueExceeding`: a call above `max` starts the window anew and keeps the count. That is three commands on one key,
 * and between them no other call may be counted: between HDEL and the second RL.FIXED it would find the window empty and
 * pass. A MULTI would need a connection of its own and cannot decide by a reply; a script does both on the client as it is.
 */
const COUNT_OR_EXTEND = `
local reply = redis.call('RL.FIXED', KEYS[1], unpack(ARGV, 3))
if reply[7] <= tonumber(ARGV[2]) then return reply end
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('RL.FIXED', KEYS[1], ARGV[3], ARGV[4], 'COST', reply[7], 'FORCE')
`.trim();

function answer(callback: Callback, decide: () => Promise<Decision>): void {
  decide().then(
    ({ used, resetAfterMs }) => callback(null, { current: used, ttl: resetAfterMs }),
    (error: Error) => callback(error),
  );
}
