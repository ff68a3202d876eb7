import { whole } from "./check.js";

/** Options of {@link fetchWithRetry}. */
export interface RetryOptions {
  /** How often a request is sent again at most: 0 to 100. Default 3. */
  readonly retries?: number;
  /** What is to be waited for longer than this is not, in ms: the response is returned. 0 or more; default 30,000. */
  readonly maxDelayMs?: number;
  /** Where the server names no time, the first wait is up to this many ms, and each further one up to twice as long. Default 500. */
  readonly baseDelayMs?: number;
  /**
   * Sends requests again that might not be repeated (POST, PATCH): only where the server is known to do nothing for what it
   * denies. Default `false`.
   */
  readonly repeat?: boolean;
  /** What sends. Default `globalThis.fetch`. */
  readonly fetch?: typeof fetch;
}

/** By RFC 9110, 9.2.2. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const REFUSED = new Set([429, 503]);
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * `fetch` that comes back when it may: after a 429 or 503 it waits as long as `Retry-After` (seconds or a date) or the
 * RateLimit field's `t` say, else ever longer, at random. Only what may be repeated is: an idempotent method, and a body that
 * is no stream. The request's `signal` ends the wait too.
 *
 * @returns the last response, denied or not
 * @throws what `fetch` throws (network errors are not retried), the signal's reason, {@link LimiterError} for a wrong option
 */
export async function fetchWithRetry(
  input: string | URL | Request,
  init?: RequestInit,
  options: RetryOptions = {},
): Promise<Response> {
  const { retries = 3, maxDelayMs = 30_000, baseDelayMs = 500, repeat = false } = options;
  for (const [name, value, most] of [
    ["retries", retries, 100],
    ["maxDelayMs", maxDelayMs, MAX_TIMER_MS],
    ["baseDelayMs", baseDelayMs, MAX_TIMER_MS],
  ] as const) {
    whole(name, value, 0, most);
  }
  const send = options.fetch ?? globalThis.fetch;
  const request = input instanceof Request ? input : undefined;
  const signal = init?.signal ?? request?.signal;
  const may = mayRepeat(request, init, repeat);
  for (let tried = 0; ; tried++) {
    const last = !may || tried >= retries;
    // A body is read once: each attempt but the last has a copy.
    const response = await send(request && !last ? request.clone() : input, init);
    if (last || !REFUSED.has(response.status)) return response;
    const delay =
      toldDelayMs(response.headers) ?? Math.random() * Math.min(baseDelayMs * 2 ** tried, maxDelayMs);
    if (delay > maxDelayMs) return response;
    await response.body?.cancel().catch(() => {}); // Frees the connection.
    await wait(delay, signal);
  }
}

function mayRepeat(request: Request | undefined, init: RequestInit | undefined, repeat: boolean): boolean {
  const body: unknown = init?.body;
  // A stream, Node's own kinds too, is read once.
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body) return false;
  if (body instanceof ReadableStream) return false;
  const method = (init?.method ?? request?.method ?? "GET").toUpperCase();
  return repeat || IDEMPOTENT.has(method);
}

/** What the server says, in ms; undefined where it says nothing that can be read. */
function toldDelayMs(headers: Headers): number | undefined {
  const after = headers.get("retry-after")?.trim();
  if (after && /^\d{1,10}$/.test(after)) return Number(after) * 1000;
  // Dates of HTTP begin with a day's name; Date.parse reads many other things.
  if (after && /^[A-Za-z]{3}/.test(after)) {
    const at = Date.parse(after);
    if (!Number.isNaN(at)) return Math.max(at - Date.now(), 0);
  }
  return exhaustedMs(headers.get("ratelimit"));
}

/** The longest `t` of the policies that have nothing left: `"user";r=0;t=7, "site";r=12;t=40` is 7 s. */
function exhaustedMs(field: string | null): number | undefined {
  const items =
    (field ?? "").match(
      /"(?:[^"\\]|\\.)*"(?:\s*;\s*[a-z*][a-z0-9_.*-]*(?:=[^;,"]*|="(?:[^"\\]|\\.)*")?)*/g,
    ) ?? [];
  const waits = items.flatMap((item) => {
    const parameters = item.replace(/^"(?:[^"\\]|\\.)*"/, "");
    const left = /;\s*r=(\d{1,15})/.exec(parameters)?.[1];
    const seconds = /;\s*t=(\d{1,10})/.exec(parameters)?.[1];
    return seconds !== undefined && (left === undefined || Number(left) === 0)
      ? [Number(seconds) * 1000]
      : [];
  });
  return waits.length === 0 ? undefined : Math.max(...waits);
}

function wait(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
