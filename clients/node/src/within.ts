/**
 * Waits for a promise, at most so long.
 *
 * @param ms - milliseconds; 0 or less looks no further than what is settled
 * @returns what it came to, or undefined where it took longer
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), Math.max(ms, 0));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** A timer that keeps no process alive. Workers' timers are numbers. */
export function later(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  const timer = setTimeout(run, ms);
  if (typeof timer === "object") timer.unref();
  return timer;
}
