import { isObject, known } from "./check.js";
import { parseWindow, shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { derivedKey, hashKey, type Key } from "./keys.js";
import { type AnyLimit, defaultName, type LeaseLimit, type Limit, MAX_UNITS } from "./limits.js";

/** How a cost above what is left is met; without a mode the call is denied. */
export type Mode =
  /** Charges anyway, a debt: for work that is done. */
  | "force"
  /** Charges as much as fits; `granted` tells how much. */
  | "partial";

/** What a call charges. */
export interface Charge {
  /** Whole units, −10^12 to 10^12; 1 unless given. 0 asks, a negative cost gives back. */
  readonly cost?: number;
  readonly mode?: Mode;
}

/** A limit of a caller: what a command or a SPEC is made of. */
export interface Place {
  /** Of all keys, ioredis' `keyPrefix` included: `rl:`. */
  readonly prefix: string;
  readonly key: Key;
  readonly limit: AnyLimit;
}

const ALGORITHM = {
  tokenBucket: "TOKENBUCKET",
  leakyBucket: "LEAKYBUCKET",
  fixedWindow: "FIXED",
  slidingCounter: "SLIDINGCOUNTER",
  slidingLog: "SLIDINGLOG",
  lease: "LEASE",
} as const;

/** The field names by which a hash tells its limits apart. */
const FIELD = { tokenBucket: "tb", leakyBucket: "lb", fixedWindow: "fw", slidingCounter: "sc" } as const;

/** The name by which keys, metrics and logs know a limit. */
export const nameOf = (limit: AnyLimit): string => limit.name ?? defaultName(limit);

/** The Redis key that holds a limit's state. */
export function stateKey(place: Place): string {
  const { prefix, key, limit } = place;
  if (limit.algorithm === "slidingLog") return derivedKey(prefix, "log", nameOf(place.limit), key);
  if (limit.algorithm === "lease") return derivedKey(prefix, "lease", nameOf(place.limit), key);
  return hashKey(prefix, key);
}

export const blockKey = (place: Place) => derivedKey(place.prefix, "block", nameOf(place.limit), place.key);

export const overrideKey = (place: Place) =>
  derivedKey(place.prefix, "override", nameOf(place.limit), place.key);

/** A limit's field in its caller's hash, as `fw:60000:login`; undefined where it has a key of its own. */
export function stateField(limit: AnyLimit): string | undefined {
  if (limit.algorithm === "slidingLog" || limit.algorithm === "lease") return undefined;
  const aligned = limit.algorithm === "fixedWindow" && limit.align;
  const window = "window" in limit ? limit.window : limit.period;
  const { ms, canonical } = parseWindow("window", window);
  const span = canonical.endsWith("mo") ? canonical : String(ms);
  const name = limit.name === undefined ? "" : `:${limit.name}`;
  return `${aligned ? "fa" : FIELD[limit.algorithm]}:${span}${name}`;
}

/** Checks that it is a limit. */
export function checkLimit(limit: AnyLimit): void {
  if (!(limit?.algorithm in ALGORITHM)) {
    throw new LimiterError(`limit must be made by tokenBucket(), fixedWindow(), …, not ${shown(limit)}`);
  }
}

const CHARGE = ["cost", "mode"];

/** Checks what a call charges, but for its values: a bare number, or a misspelt `cost`, must not mean 1. */
export function checkCharge(charge: Charge): void {
  isObject("charge", charge, `{ cost: ${typeof charge === "number" ? charge : 1} }`);
  known(charge, CHARGE, "a charge");
}

/** The words of a limit after its key, headed by its algorithm: a SPEC. A lease needs the holder's `id`. */
export function spec(place: Place, charge: Charge, id?: string): string[] {
  const { limit } = place;
  checkLimit(limit);
  const words: string[] = [ALGORITHM[limit.algorithm], ...numbers(limit)];
  if (limit.algorithm === "lease") {
    if (id === undefined)
      throw new LimiterError("a lease must have an id: take it by acquire(), or give its id");
    words.push(id);
  } else {
    words.push(...chargeWords(charge));
    // A log takes no name: its key tells it apart.
    if (limit.name !== undefined && limit.algorithm !== "slidingLog") words.push("AS", limit.name);
    if (limit.block) words.push("BLOCK", blockKey(place), limit.block.for);
  }
  if (limit.override) words.push("OVERRIDE", overrideKey(place));
  return words;
}

/** The command of one limit, `RL.FIXED key …`. */
export function command(place: Place & { readonly limit: Limit }, charge: Charge): string[] {
  const { limit }: Place = place;
  if (limit?.algorithm === "lease") throw new LimiterError("a lease is not charged: take it by acquire()");
  const [algorithm, ...words] = spec(place, charge);
  return [`RL.${algorithm}`, stateKey(place), ...words];
}

/** `RL.LEASE key limit ttl id [RENEW]`. */
export function leaseCommand(
  place: Place & { readonly limit: LeaseLimit },
  id: string,
  renew: boolean,
): string[] {
  const [, limit, ttl, holder, ...override] = spec(place, {}, id) as [
    string,
    string,
    string,
    string,
    ...string[],
  ];
  return ["RL.LEASE", stateKey(place), limit, ttl, holder, ...(renew ? ["RENEW"] : []), ...override];
}

/** One of several limits in a call. */
export interface Item extends Place {
  readonly charge: Charge;
  readonly id?: string | undefined;
}

/** `RL.ALL` or `RL.PEEK` of several limits: `key SPEC … KEY key SPEC …`. */
export function together(name: "RL.ALL" | "RL.PEEK", items: readonly Item[]): string[] {
  const words: string[] = [name];
  let last: string | undefined;
  const states = new Set<string>();
  for (const item of items) {
    const key = stateKey(item);
    if (items.length > 1) {
      const state = `${key} ${stateField(item.limit) ?? ""}`;
      if (states.has(state)) {
        throw new LimiterError(
          `${nameOf(item.limit)} is given twice for ${key}: give each limit a name of its own`,
        );
      }
      states.add(state);
    }
    if (key !== last) words.push(...(last === undefined ? [key] : ["KEY", key]));
    last = key;
    words.push(...spec(item, item.charge, item.id));
  }
  return words;
}

/** The keys that a call of a limit touches, all in one slot. */
export function keysOf(place: Place): string[] {
  const { limit } = place;
  return [
    stateKey(place),
    ...(limit.algorithm !== "lease" && limit.block ? [blockKey(place)] : []),
    ...(limit.override ? [overrideKey(place)] : []),
  ];
}

function numbers(limit: AnyLimit): string[] {
  switch (limit.algorithm) {
    case "tokenBucket":
      return [String(limit.capacity), String(limit.refill), limit.period];
    case "leakyBucket":
      return [String(limit.capacity), String(limit.leak), limit.period];
    case "fixedWindow":
      return [
        String(limit.limit),
        limit.window,
        ...(limit.align ? ["ALIGN"] : []),
        ...(limit.offset === undefined ? [] : ["OFFSET", limit.offset]),
      ];
    case "slidingCounter":
    case "slidingLog":
      return [String(limit.limit), limit.window];
    case "lease":
      return [String(limit.limit), limit.ttl];
  }
}

function chargeWords({ cost = 1, mode }: Charge): string[] {
  if (!Number.isInteger(cost) || Math.abs(cost) > MAX_UNITS) {
    throw new LimiterError(
      `cost must be a whole number from ${-MAX_UNITS} to ${MAX_UNITS}, not ${shown(cost)}`,
    );
  }
  if (mode !== undefined && mode !== "force" && mode !== "partial") {
    throw new LimiterError(`mode must be 'force' or 'partial', not ${shown(mode)}`);
  }
  return [...(cost === 1 ? [] : ["COST", String(cost)]), ...(mode === undefined ? [] : [mode.toUpperCase()])];
}
