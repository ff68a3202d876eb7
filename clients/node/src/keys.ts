import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";

/**
 * Who is limited: `'user:7'`, which is the hash tag and so the cluster slot; or, to put several in one slot, a `tag` that
 * they share and an `id` behind it. Never a secret: keys show in logs and snapshots.
 */
export type Key = string | { readonly tag: string; readonly id: string };

/** What is kept apart from the caller's own hash, each in a key of its own. */
export type Derived = "log" | "lease" | "block" | "override";

/**
 * Checks a prefix: it stands before the hash tag, so it may hold no brace.
 *
 * @throws {@link LimiterError}
 */
export function checkPrefix(argument: string, prefix: unknown): void {
  if (typeof prefix !== "string" || /[{}]/.test(prefix)) {
    throw new LimiterError(`${argument} must be a string without { and }, not ${shown(prefix)}`);
  }
}

/**
 * The key of a caller's hash, `rl:{user:7}` or `rl:{tag}id`.
 *
 * @throws {@link LimiterError} where the key is empty or no string
 */
export function hashKey(prefix: string, key: Key): string {
  return prefix + tagged(key);
}

/** The key of what is derived from a limit, `rl:log:<name>:{user:7}`. It has the slot of {@link hashKey}. */
export function derivedKey(prefix: string, kind: Derived, name: string, key: Key): string {
  return `${prefix}${kind}:${name}:${tagged(key)}`;
}

function tagged(key: Key): string {
  if (typeof key === "string") return `{${part("key", key)}}`;
  if (typeof key !== "object" || key === null) {
    throw new LimiterError(`key must be a string or { tag, id }, not ${shown(key)}`);
  }
  return `{${part("key.tag", key.tag)}}${part("key.id", key.id)}`;
}

/**
 * Percent-encodes what would move the hash tag, and halves of surrogate pairs, which UTF-8 has not: all would be one. An
 * empty tag would be none, so the slots of derived keys would differ.
 */
function part(argument: string, text: unknown): string {
  if (typeof text !== "string" || text === "") {
    throw new LimiterError(`${argument} must be a string that is not empty, not ${shown(text)}`);
  }
  return text.replace(/[%{}\p{Surrogate}]/gu, (char) => {
    const hex = char.charCodeAt(0).toString(16).toUpperCase();
    return hex.length > 2 ? `%u${hex}` : `%${hex}`;
  });
}
