import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { repository, tmp } from "./paths.js";
import type { Server } from "./server.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A free port. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

/**
 * A folder in which programs find this package, as built, and those of its tests: as if `npm install` had been run. It
 * begins as a copy of `from`.
 */
export class Workplace {
  readonly dir: string;
  readonly #running: ChildProcess[] = [];

  constructor(from?: string) {
    mkdirSync(tmp, { recursive: true });
    this.dir = mkdtempSync(join(tmp, "example-"));
    if (from)
      cpSync(from, this.dir, { recursive: true, filter: (path) => !/node_modules|\.next/.test(path) });
    const modules = join(this.dir, "node_modules");
    mkdirSync(modules);
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (!name.startsWith(".")) symlinkSync(join(root, "node_modules", name), join(modules, name));
    }
    if (!existsSync(join(root, "dist"))) throw new Error("the package is not built: run `npm run build`");
    symlinkSync(root, join(modules, "redis-limiter-client"));
  }

  /** Runs a program to its end, and answers what it printed; it throws where the program fails. */
  run(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(
        process.execPath,
        args,
        { cwd: this.dir, env: { ...process.env, ...env }, timeout: 120_000 },
        (error, stdout, stderr) => (error ? reject(new Error(`${stdout}${stderr}`)) : resolve(stdout)),
      );
    });
  }

  /** Starts a program that listens on the port of `env.PORT`. */
  async start(args: readonly string[], env: Record<string, string>): Promise<void> {
    const child = spawn(process.execPath, args, {
      cwd: this.dir,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#running.push(child);
    let said = "";
    child.stdout.on("data", (text) => (said += text));
    child.stderr.on("data", (text) => (said += text));
    for (let tries = 0; tries < 600; tries++) {
      if (child.exitCode !== null) break;
      if (await listens(Number(env.PORT))) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${args.join(" ")} does not listen:\n${said}`);
  }

  /** Ends what was started, and removes the folder. */
  async close(): Promise<void> {
    for (const child of this.#running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, "localhost")
      .once("connect", () => probe.end(() => resolve(true)))
      .once("error", () => resolve(false));
  });
}

/** Header fields that are not the example's matter, or differ from run to run. */
const LEFT_OUT =
  /^(date|connection|keep-alive|etag|x-powered-by|transfer-encoding|vary|content-length|cache-control|content-encoding|mf-\S+): /i;

const MS: Record<string, number> = { s: 1000, min: 60_000 };

/**
 * Runs the `console` blocks of a page against `localhost:<port>`, and holds the page to what comes of them:
 * `$ command`, its output, `# 10 s later` moves the server's clock. `RL_DOCS_WRITE=1` writes the output into the page.
 *
 * @param options.after - the text after which it begins
 * @param options.only - so many blocks
 */
export async function holdToTranscripts(
  page: string,
  port: number,
  server: Server,
  { cwd = root, after = "", only }: { cwd?: string; after?: string; only?: number } = {},
): Promise<void> {
  const whole = readFileSync(page, "utf8");
  const start = after === "" ? 0 : whole.indexOf(after) + after.length;
  const text = whole.slice(start);
  let left = only ?? Number.POSITIVE_INFINITY;
  const blocks = text.split(/^(```console\n[\s\S]*?^```$)/m);
  for (const [i, block] of blocks.entries()) {
    if (!block.startsWith("```console") || left-- <= 0) continue;
    const written = ["```console"];
    for (const line of block.split("\n").slice(1, -1)) {
      const [, count, unit] = /^# (\d+) (s|min) later$/.exec(line) ?? [];
      if (count && unit) server.clock.advance(Number(count) * MS[unit]!);
      if (line.startsWith("# ") || line.startsWith("$ ")) written.push(line);
      if (line.startsWith("$ ")) written.push(...(await outputOf(line.slice(2), port, cwd)));
    }
    blocks[i] = [...written, "```"].join("\n");
  }
  const made = blocks.join("");
  if (process.env.RL_DOCS_WRITE) writeFileSync(page, whole.slice(0, start) + made);
  else expect(text).toBe(made);
}

function outputOf(command: string, port: number, cwd: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const real = command.replaceAll("localhost:3000", `localhost:${port}`);
    execFile("bash", ["-c", real], { cwd, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error && stdout === "") return reject(new Error(`${command}: ${stderr}`));
      const lines = stdout.replaceAll("\r", "").replace(/\n+$/, "").split("\n");
      resolve(lines.filter((line) => !LEFT_OUT.test(line)));
    });
  });
}

export const example = (name: string) => join(repository, "examples", name);
