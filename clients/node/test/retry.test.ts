import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { fetchWithRetry, type RetryOptions } from "../src/retry.js";

let answers: [status: number, headers?: Record<string, string>][];
let bodies: string[];
let waits: number[];
const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  bodies.push(body);
  const [status, headers] = answers.shift() ?? [200];
  response.writeHead(status, headers).end("x".repeat(100_000));
});
let url: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  [answers, bodies, waits] = [[], [], []];
  const real = globalThis.setTimeout;
  // Waits take no time here, but are noted.
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms = 0) => {
    if (new Error().stack?.includes("retry.ts")) waits.push(ms);
    return real(run, new Error().stack?.includes("retry.ts") ? 0 : ms);
  }) as typeof setTimeout);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const get = (options?: RetryOptions, init?: RequestInit) => fetchWithRetry(url, init, options);

describe("fetchWithRetry", () => {
  it("waits as long as Retry-After says, in seconds or as a date", async () => {
    answers = [
      [429, { "retry-after": "7" }],
      [503, { "retry-after": new Date(Date.now() + 20_000).toUTCString() }],
    ];
    const response = await get();
    expect(response.status).toBe(200);
    expect((await response.text()).length).toBe(100_000);
    expect(waits[0]).toBe(7000);
    expect(waits[1]).toBeGreaterThan(18_000);
    expect(waits[1]).toBeLessThanOrEqual(20_000);
  });

  it("else as the RateLimit field says: the longest t of what has nothing left", async () => {
    answers = [
      [429, { ratelimit: '"a;r=0;t=99";r=5;t=3, "b";r=0;t=7, "c \\"d\\"";r=0;t=4' }],
      [429, { ratelimit: '"a";r=3;t=9' }],
    ];
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    expect((await get()).status).toBe(200);
    expect(waits).toEqual([7000, 500]);
  });

  it("else backs off exponentially, with full jitter", async () => {
    answers = [[429], [503], [429, { "retry-after": "soon" }]];
    vi.spyOn(Math, "random").mockReturnValue(1);
    expect((await get()).status).toBe(200);
    expect(waits).toEqual([500, 1000, 2000]);
  });

  it("gives up after `retries`, and at once where the wait is longer than maxDelayMs", async () => {
    answers = [[429], [429], [429]];
    expect((await get({ retries: 1 })).status).toBe(429);
    expect(bodies).toHaveLength(2);
    answers = [[429, { "retry-after": "31" }]];
    expect((await get()).status).toBe(429);
    expect(bodies).toHaveLength(3);
  });

  it("passes on what is no refusal", async () => {
    answers = [[500]];
    expect((await get()).status).toBe(500);
    expect(bodies).toHaveLength(1);
  });

  it("repeats no POST, unless told; then with its body", async () => {
    answers = [[429], [429], [200]];
    const init = { method: "POST", body: "pay" };
    expect((await get({}, init)).status).toBe(429);
    expect((await get({ repeat: true }, init)).status).toBe(200);
    expect(bodies).toEqual(["pay", "pay", "pay"]);
  });

  it("repeats a Request with a body, and no stream", async () => {
    answers = [[429], [429]];
    const request = new Request(url, { method: "PUT", body: "state" });
    expect((await fetchWithRetry(request)).status).toBe(200);
    expect(bodies).toEqual(["state", "state", "state"]);
    answers = [[429]];
    const body = new Blob(["flow"]).stream();
    const stream = { method: "PUT", body, duplex: "half" } as RequestInit;
    expect((await get({}, stream)).status).toBe(429);
  });

  it("the signal ends the wait, and leaves neither timer nor listener", async () => {
    vi.restoreAllMocks();
    answers = [[429, { "retry-after": "20" }]];
    const abort = new AbortController();
    const pending = get({}, { signal: abort.signal });
    await vi.waitFor(() => expect(bodies).toHaveLength(1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    abort.abort(new Error("enough"));
    await expect(pending).rejects.toThrow("enough");
  });

  it("names the option that is wrong", async () => {
    await expect(get({ retries: -1 })).rejects.toThrow("retries must be");
    await expect(get({ maxDelayMs: Number.NaN })).rejects.toThrow("maxDelayMs must be");
  });
});
