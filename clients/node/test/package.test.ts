import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Workplace } from "./support/examples.js";
import { Server } from "./support/server.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(`${root}/${file}`, "utf8"));
const entries = Object.keys(read("entries.json"));
const node = (...args: string[]) =>
  execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" }).trim();

describe("the built package", () => {
  it("exports every entry point, and each file is there", () => {
    const { exports } = read("package.json");
    expect(Object.keys(exports)).toEqual([...entries, "./package.json"]);
    for (const entry of entries) {
      for (const { types, default: file } of Object.values<{ types: string; default: string }>(
        exports[entry],
      )) {
        expect(existsSync(`${root}/${types}`), types).toBe(true);
        expect(existsSync(`${root}/${file}`), file).toBe(true);
      }
    }
  });

  // By the package's own name, as its users do; in processes of their own, without the tests' loader.
  it.each(entries)("%s is imported and required, with the same names", (entry) => {
    const name = JSON.stringify(`redis-limiter-client${entry.slice(1)}`);
    const names =
      "console.log(Object.keys(all).filter((n) => n !== 'default' && n !== 'module.exports').sort().join())";
    const imported = node("--input-type=module", "-e", `import * as all from ${name}; ${names}`);
    const required = node("--input-type=commonjs", "-e", `const all = require(${name}); ${names}`);
    expect(required).toBe(imported);
  });

  it.each(entries)("%s needs no other entry point's library", (entry) => {
    const peers = Object.keys(read("package.json").peerDependencies ?? {});
    const own = entry === "." ? [] : [readFileSync(`${root}/${read("entries.json")[entry]}`, "utf8")];
    const foreign = peers.filter((peer) => !own.join().includes(`"${peer}"`));
    const script = `
      const { Module } = await import("node:module");
      const load = Module._load;
      Module._load = (name, ...rest) => {
        if (${JSON.stringify(foreign)}.some((peer) => name === peer || name.startsWith(peer + "/"))) throw new Error(name);
        return load(name, ...rest);
      };
      const require = Module.createRequire(${JSON.stringify(`${root}/package.json`)});
      require(${JSON.stringify(`redis-limiter-client${entry.slice(1)}`)});`;
    node("--input-type=module", "-e", script);
  });

  it.each([
    ["node16", "node16", "ES2022"],
    ["esnext", "bundler", "ES2022"],
    ["nodenext", "nodenext", "ESNext"],
  ])(
    "has types for module %s, moduleResolution %s, lib %s",
    async (module, moduleResolution, lib) => {
      const place = new Workplace();
      try {
        const using =
          lib === "ESNext" ? "await using mine = held; await mine.renew();" : "await held.release();";
        const program = `
        import { createLimiter, fixedWindow, lease } from "redis-limiter-client";
        import { ExpressRateLimitStore } from "redis-limiter-client/express-rate-limit";
        import { withRateLimit } from "redis-limiter-client/fetch";
        import { fetchWithRetry } from "redis-limiter-client/retry";
        const limiter = createLimiter({ send: async () => 1 });
        export const allowed: Promise<boolean> =
          limiter.consume("a", fixedWindow({ limit: 1, window: "1m" })).then((decision) => decision.allowed);
        export async function run() {
          const held = await limiter.acquire("a", lease({ limit: 1, ttl: "1m" }));
          if (held.allowed) { ${using} }
        }
        export { ExpressRateLimitStore, fetchWithRetry, withRateLimit };`;
        const files = ["program.mts", ...(moduleResolution === "bundler" ? [] : ["program.cts"])];
        for (const file of files) writeFileSync(join(place.dir, file), program);
        const compilerOptions = {
          ...{ module, moduleResolution, lib: [lib, "DOM"], target: "es2022" },
          ...{ types: [], strict: true, noEmit: true },
        };
        writeFileSync(join(place.dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
        expect(await place.run([join(root, "node_modules/typescript/bin/tsc"), "-p", "."])).toBe("");
      } finally {
        await place.close();
      }
    },
    60_000,
  );

  it("starts no timer before the first call: Workers forbid it at module scope", () => {
    const script = `
      for (const timer of ["setTimeout", "setInterval", "setImmediate"]) {
        globalThis[timer] = () => { throw new Error(timer); };
      }
      const { createLimiter, tokenBucket } = await import("redis-limiter-client");
      const client = { send: () => new Promise(() => {}) };
      const regions = { others: [client] };
      createLimiter(client, { denyCache: {}, breaker: {}, regions, onUnavailable: { memory: {} } })
        .for("x", tokenBucket({ capacity: 5, refill: 5, period: "1s" }), { prefetch: { units: 5 } });`;
    node("--input-type=module", "-e", script);
  });
});

describe("a program that limits", () => {
  it("lives on while Redis is gone and comes back, though it listens to no errors, and ends when it is done", async () => {
    const server = await Server.start();
    const program = `
      import { createClient } from "redis";
      import { createLimiter, fixedWindow } from "redis-limiter-client";
      const client = createClient({ url: ${JSON.stringify(server.url)} });
      const limiter = createLimiter(client, { timeoutMs: 100, breaker: { resetMs: 200 } });
      await client.connect();
      const limit = fixedWindow({ limit: 1000, window: "1h" });
      let last;
      let changes = 0;
      while (changes < 3) {
        const { source } = await limiter.consume("u", limit);
        if (source !== last) {
          changes++;
          console.log((last = source));
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await limiter.close();
      await client.close();`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const sources: string[] = [];
      for await (const source of createInterface({ input: child.stdout })) {
        sources.push(source);
        if (sources.length === 1) await server.kill();
        if (sources.length === 2) await server.startAgain();
      }
      expect(sources).toEqual(["redis", "open", "redis"]);
      const code = child.exitCode ?? ((await once(child, "exit")) as [number])[0];
      expect(code).toBe(0);
    } finally {
      child.kill("SIGKILL");
      await server.stop();
    }
  });
});
