import { isObject, known } from "./check.js";
import { ask, type Core, forget } from "./core.js";
import { type Duration, parseDuration, shown } from "./duration.js";
import { LimiterError } from "./errors.js";
import { type Limit, units } from "./limits.js";
import { blockKey, overrideKey, type Place, stateField, stateKey } from "./words.js";

/** Numbers that take a limit's place for one caller. */
export interface Override {
  /** Units: of any limit its `limit` or `capacity`. Whole, 0 to 10^12. */
  readonly limit: number;
  /** A token bucket's `refill` or a leaky bucket's `leak`, 1 to 10^12; the limit's own unless given. */
  readonly rate?: number;
  /** How long it lasts, such as `'1h'`; until it is cleared unless given. */
  readonly for?: Duration;
}

/** `SET bkey 1 PX ms` */
export async function block(
  core: Core,
  place: Place & { readonly limit: Limit },
  span: Duration,
): Promise<void> {
  const { ms } = parseDuration("for", span);
  blockable(place);
  const key = blockKey(place);
  try {
    await ask(core, ["SET", key, "1", "PX", String(ms)], key, place.limit);
  } finally {
    changed(core, place);
  }
}

function blockable({ limit }: Place & { readonly limit: Limit }): void {
  if (!limit.block) throw new LimiterError("a limit can be blocked where it has the option block: { for }");
}

/** Forgets what was used first: in between, the block still stands, and no denial blocks anew. */
export async function unblock(core: Core, place: Place & { readonly limit: Limit }): Promise<boolean> {
  blockable(place);
  const key = blockKey(place);
  const end = performance.now() + core.redis.timeoutMs;
  try {
    await resetLimit(core, place);
    const timeoutMs = Math.max(1, Math.ceil(end - performance.now()));
    return Number(await ask(core, ["DEL", key], key, place.limit, { timeoutMs })) > 0;
  } finally {
    changed(core, place);
  }
}

/** `SET okey n[/r] [PX ms]` */
export async function override(core: Core, place: Place, numbers: Override): Promise<void> {
  isObject("override", numbers, `{ limit: ${typeof numbers === "number" ? numbers : 9} }`);
  // A misspelt `for` must not mean for ever.
  known(numbers, ["limit", "rate", "for"], "an override");
  const { limit, rate, for: span } = numbers;
  const { algorithm, override } = place.limit;
  if (!override) throw new LimiterError("a limit can be overridden where it has the option override: true");
  units("limit", limit, 0);
  if (rate !== undefined) {
    if (algorithm !== "tokenBucket" && algorithm !== "leakyBucket") {
      throw new LimiterError(`rate is for buckets, not for ${shown(algorithm)}`);
    }
    units("rate", rate, 1);
  }
  const key = overrideKey(place);
  const value = rate === undefined ? String(limit) : `${limit}/${rate}`;
  const expiry = span === undefined ? [] : ["PX", String(parseDuration("for", span).ms)];
  try {
    await ask(core, ["SET", key, value, ...expiry], key, place.limit);
  } finally {
    changed(core, place);
  }
}

export async function clearOverride(core: Core, place: Place): Promise<boolean> {
  const key = overrideKey(place);
  try {
    return Number(await ask(core, ["DEL", key], key, place.limit)) > 0;
  } finally {
    changed(core, place);
  }
}

/** What this process remembers of a caller whose block or numbers have changed is no longer so. */
function changed(core: Core, { prefix, key }: Place): void {
  core.denials?.forget({ prefix, key });
  for (const prefetch of core.prefetches) prefetch.letGo(key);
}

/** Deletes a limit's field, log or lease. */
export async function resetLimit(core: Core, place: Place): Promise<boolean> {
  const key = stateKey(place);
  const field = stateField(place.limit);
  const words = field === undefined ? ["DEL", key] : ["HDEL", key, field];
  try {
    return Number(await ask(core, words, key, place.limit)) > 0;
  } finally {
    forget(core, place, place.limit);
  }
}
