import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";

/**
 * Checks that there are no other options: a typing error must not mean the default.
 *
 * @throws {@link LimiterError} naming the one that is unknown, and those that there are
 */
export function known(options: object, names: readonly string[], of: string): void {
  for (const option of Object.keys(options)) {
    if (!names.includes(option)) {
      throw new LimiterError(`${option} is no option of ${of}, which has ${names.join(", ")}`);
    }
  }
}

/**
 * Checks that an argument is an object.
 *
 * @param write - what to write instead
 * @throws {@link LimiterError}
 */
export function isObject(argument: string, value: unknown, write: string): void {
  if (typeof value !== "object" || value === null) {
    throw new LimiterError(`${argument} must be an object, not ${shown(value)}: write ${write}`);
  }
}

/**
 * Checks an option that is a whole number.
 *
 * @throws {@link LimiterError} naming it
 */
export function whole(option: string, value: unknown, least: number, most: number): void {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new LimiterError(`${option} must be a whole number from ${least} to ${most}, not ${shown(value)}`);
  }
}
