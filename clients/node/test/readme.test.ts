import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort, holdToTranscripts, Workplace } from "./support/examples.js";
import { Server } from "./support/server.js";

const page = fileURLToPath(new URL("../README.md", import.meta.url));
const text = readFileSync(page, "utf8");

/** Each program of the page; a `console` block right after it, if any, is a session with it. */
const programs = [...text.matchAll(/^```js\n([\s\S]*?)^```$(?:[^`]|`[^`\n]+`)*?(?=^```(\w+)|^#)/gm)].map(
  ([, code, next], i) => ({
    name: `program ${i + 1}: ${code!
      .split("\n")
      .find((line) => /limits:|consume|fetchWithRetry\(/.test(line))
      ?.trim()}`,
    code: code!,
    session: next === "console",
  }),
);

/** Loads a module that exports a handler, and calls it. */
const CALLER = `
const { GET } = await import("./program.mjs");
const response = await GET(new Request("http://localhost/", { headers: { "x-real-ip": "192.0.2.1" } }));
console.log(response.status, response.headers.get("ratelimit"), await response.text());
process.exit(0);
`;

let server: Server;
let place: Workplace;

beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  server.clock.freeze(Date.UTC(2026, 0, 5, 9));
  await server.call("FLUSHALL");
  place = new Workplace();
});
afterEach(() => place?.close());

describe("README.md", () => {
  it("shows programs and sessions", () => {
    expect(programs).toHaveLength(text.match(/^```js$/gm)!.length);
    expect(programs.filter(({ session }) => session)).toHaveLength(text.match(/^```console$/gm)!.length);
  });

  it.each(programs)("$name", async ({ code, session }) => {
    const file = join(place.dir, "program.mjs");
    writeFileSync(file, code);
    const env = { REDIS_URL: server.url };
    if (session) {
      const port = await freePort();
      await place.start(["program.mjs"], { ...env, PORT: String(port) });
      await holdToTranscripts(page, port, server, { after: code, only: 1 });
    } else if (code.includes("export const GET")) {
      writeFileSync(join(place.dir, "caller.mjs"), CALLER);
      expect(await place.run(["caller.mjs"], env)).toBe('200 "api";r=99;t=60 {"left":99}\n');
    } else {
      const expected = [...code.matchAll(/\/\/=> (.*)$/gm)].map(([, line]) => `${line}\n`).join("");
      expect(expected).not.toBe("");
      expect(await place.run(["program.mjs"], env)).toBe(expected);
    }
  });

  it("has a line for every option of createLimiter", () => {
    const source = readFileSync(new URL("../src/limiter.ts", import.meta.url), "utf8");
    const options = [
      ...source
        .split("export interface LimiterOptions")[1]!
        .split("\n}")[0]!
        .matchAll(/readonly (\w+)\??:/g),
    ].map(([, name]) => name);
    expect(options.length).toBeGreaterThan(7);
    for (const option of options) expect(text).toMatch(new RegExp(`^\\| \`${option}\``, "m"));
  });

  it("names every entry point and every variable", () => {
    const entries = JSON.parse(readFileSync(new URL("../entries.json", import.meta.url), "utf8"));
    for (const entry of Object.keys(entries)) expect(text).toContain(`redis-limiter-client${entry.slice(1)}`);
    const source = readFileSync(new URL("../src/env.ts", import.meta.url), "utf8");
    for (const [name] of source.matchAll(/\b(REDIS|RATE_LIMIT|DDOS)_[A-Z_]+\b/g))
      expect(text).toContain(name);
  });

  it("shows a program that starts while Redis is down", async () => {
    writeFileSync(join(place.dir, "program.mjs"), programs[0]!.code);
    const port = await freePort();
    const env = { REDIS_URL: `redis://127.0.0.1:${await freePort()}`, PORT: String(port) };
    await place.start(["program.mjs"], env);
    const response = await fetch(`http://localhost:${port}`);
    expect([response.status, response.headers.get("ratelimit")]).toEqual([200, null]);
  });

  it("has a line for every option of the middleware", async () => {
    const source = (name: string) => readFileSync(new URL(`../src/http/${name}.ts`, import.meta.url), "utf8");
    const options = [
      ...source("flow")
        .split("export interface RateLimitOptions")[1]!
        .split("\n}")[0]!
        .matchAll(/readonly (\w+)\??:/g),
      ...source("fastify").matchAll(/readonly (hook|handler)\?:/g),
      ...source("fetch").matchAll(/readonly (address)\?:/g),
    ].map(([, name]) => name);
    expect(options.length).toBeGreaterThan(10);
    for (const option of options) expect(text).toMatch(new RegExp(`^\\| \`${option}\``, "m"));
  });
});
