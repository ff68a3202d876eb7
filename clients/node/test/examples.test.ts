import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { Miniflare } from "miniflare";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Limiter } from "../src/limiter.js";
import { example, freePort, holdToTranscripts, Workplace } from "./support/examples.js";
import { Server } from "./support/server.js";

/** A Monday, 2026-01-05, at 09:00 UTC: daily quotas end in 15 hours. */
const MONDAY = Date.UTC(2026, 0, 5, 9);

let server: Server;
let place: Workplace | undefined;

beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  server.clock.freeze(MONDAY);
  await server.call("FLUSHALL");
});
afterEach(async () => {
  await place?.close();
  place = undefined;
});

async function start(name: string, program: string[], more: Record<string, string> = {}): Promise<number> {
  place ??= new Workplace(example(name));
  const port = await freePort();
  await place.start(program, { REDIS_URL: server.url, PORT: String(port), ...more });
  return port;
}
const readme = (name: string) => join(example(name), "README.md");

describe("the examples", () => {
  it.each(["express", "fastify"])("%s", async (name) => {
    const port = await start(name, ["server.mjs"]);
    await holdToTranscripts(readme(name), port, server);
  });

  it("express starts while Redis is down", async () => {
    const port = await start("express", ["server.mjs"], {
      REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    });
    expect((await fetch(`http://localhost:${port}/hello`)).status).toBe(200);
  });

  it("next: a route handler and a proxy", { timeout: 240_000 }, async () => {
    const next = "node_modules/next/dist/bin/next";
    place = new Workplace(example("next"));
    await place.run([next, "build", "--webpack"], { NEXT_TELEMETRY_DISABLED: "1" });
    const port = await start("next", [next, "start"], { NEXT_TELEMETRY_DISABLED: "1" });
    await holdToTranscripts(readme("next"), port, server);
    // The proxy's limit counts too: 4 requests were let through to the route.
    expect(await server.call("HKEYS", "rl:{ip:192.0.2.1}")).toEqual(expect.arrayContaining(["fw:60000:api"]));
  });

  it("worker: in the real runtime", { timeout: 60_000 }, async () => {
    place = new Workplace(example("worker"));
    const bundle = await build({
      absWorkingDir: place.dir,
      entryPoints: ["worker.mjs"],
      bundle: true,
      format: "esm",
      target: "es2022",
      conditions: ["workerd", "worker"],
      preserveSymlinks: true,
      plugins: [nodeBuiltins],
      write: false,
    });
    const options = (url: string) => ({
      modules: true,
      script: bundle.outputFiles[0]!.text,
      compatibilityDate: "2026-04-01",
      compatibilityFlags: ["nodejs_compat"],
      bindings: { REDIS_URL: url },
    });
    const worker = new Miniflare(options(server.url));
    try {
      await holdToTranscripts(readme("worker"), Number((await worker.ready).port), server);
      // While Redis is away requests pass, the second one too.
      await worker.setOptions(options(`redis://127.0.0.1:${await freePort()}`));
      for (let i = 0; i < 2; i++) {
        const headers = { "cf-connecting-ip": "192.0.2.1" };
        const response = await worker.dispatchFetch("http://localhost/", { headers });
        expect([response.status, response.headers.get("ratelimit")]).toEqual([200, null]);
        await response.text();
      }
    } finally {
      await worker.dispose();
    }
  });

  it("llm-gateway", async ({ skip }) => {
    skip(!("acquire" in Limiter.prototype), "the package has no leases yet");
    skip(!(await server.has("rl.lease")), "the module has no RL.LEASE yet");
    const model = await start("llm-gateway", ["model.mjs"]);
    const port = await start("llm-gateway", ["gateway.mjs"], { MODEL_URL: `http://localhost:${model}` });
    await holdToTranscripts(readme("llm-gateway"), port, server);
    // A client that hangs up pays for what was sent, and its stream is free again.
    await server.call("FLUSHALL");
    const aborted = new AbortController();
    const headers = { "x-api-key": "key-of-bob", "content-type": "application/json" };
    const body = JSON.stringify({ prompt: "?", max_tokens: 500 });
    const response = await fetch(`http://localhost:${port}/v1/completions`, {
      method: "POST",
      headers,
      body,
      signal: aborted.signal,
    });
    await response.body!.getReader().read();
    aborted.abort();
    const usage = async () => (await fetch(`http://localhost:${port}/v1/usage`, { headers })).text();
    await expect.poll(usage, { timeout: 5000 }).toMatch(/^[2-5] of 1000 tokens used\n$/);
    await expect.poll(() => server.call("EXISTS", "rl:lease:streams:{bob}"), { timeout: 5000 }).toBe(0);
  });

  it("load: of 2,000 requests on 100 connections exactly the limit is allowed", {
    timeout: 120_000,
  }, async () => {
    const port = await start("express", ["server.mjs"]);
    const load = new Workplace(example("load"));
    try {
      await holdToTranscripts(readme("load"), port, server, { cwd: load.dir });
      if (!hasK6()) return;
      await server.call("FLUSHALL");
      const url = `URL=http://localhost:${port}/hello`;
      execFileSync("k6", ["run", "--quiet", "-e", url, "k6.js"], { cwd: load.dir, stdio: "pipe" });
    } finally {
      await load.close();
    }
  });

  it("are short", () => {
    for (const name of ["express", "fastify", "next", "worker", "llm-gateway", "load"]) {
      for (const entry of readdirSync(example(name), { recursive: true, encoding: "utf8" })) {
        if (!/\.m?js$/.test(entry) || /node_modules|\.next/.test(entry)) continue;
        const lines = readFileSync(join(example(name), entry), "utf8").split("\n").length - 1;
        expect(lines, `${name}/${entry}`).toBeLessThan(80);
      }
    }
  });
});

function hasK6(): boolean {
  try {
    execFileSync("k6", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** As wrangler does it: Node's modules are the runtime's, for `require` too. */
const nodeBuiltins: Plugin = {
  name: "node-builtins",
  setup({ onResolve, onLoad }) {
    const names = builtinModules.filter((name) => !name.startsWith("_")).join("|");
    onResolve({ filter: new RegExp(`^(node:)?(${names})$`) }, ({ path, kind }) => {
      const full = path.startsWith("node:") ? path : `node:${path}`;
      return kind === "require-call" ? { path: full, namespace: "required" } : { path: full, external: true };
    });
    onLoad({ filter: /.*/, namespace: "required" }, ({ path }) => ({
      contents: `import all from ${JSON.stringify(path)}; module.exports = all;`,
    }));
  },
};
