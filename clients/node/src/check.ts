import { shown } from "./duration.js";
import { LimiterError } from "./errors.js";

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
