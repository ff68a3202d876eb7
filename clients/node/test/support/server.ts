import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createClient } from "redis";
import { Clock } from "./clock.js";
import { modulePath, serverPath, tmp } from "./paths.js";

/** How a server shall be started. */
export interface ServerOptions {
  /** Lines of redis.conf. */
  readonly config?: readonly string[];
  /** Starts the bare server. */
  readonly withoutModule?: boolean;
  /** Starts a Sentinel instead, which watches this server as `main`. */
  readonly sentinelOf?: Server;
}

/** Tests that fail must leave none behind. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A server of the test's own, with the module, on a clock that the test moves. */
export class Server {
  readonly port: number;
  readonly clock: Clock;
  readonly #dir: string;
  readonly #args: readonly string[];
  #process: ChildProcess;

  private constructor(dir: string, port: number, clock: Clock, args: readonly string[]) {
    this.#dir = dir;
    this.#args = args;
    this.port = port;
    this.clock = clock;
    this.#process = this.#spawn();
  }

  static async start(options: ServerOptions = {}): Promise<Server> {
    mkdirSync(tmp, { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const dir = mkdtempSync(join(tmp, "server-"));
      const port = await freePort();
      writeFileSync(join(dir, "redis.conf"), conf(dir, port, options));
      const server = new Server(
        dir,
        port,
        new Clock(join(dir, "clock")),
        options.sentinelOf ? ["--sentinel"] : [],
      );
      try {
        await server.#serves();
        return server;
      } catch (error) {
        await server.stop();
        // Another process may have taken the port between our look and the server's bind.
        if (attempt === 5 || !String(error).includes("Address already in use")) throw error;
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Sends a command on a connection of its own. */
  async call(...words: string[]): Promise<unknown> {
    const client = createClient({ url: this.url, socket: { reconnectStrategy: false } });
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.sendCommand(words);
    } finally {
      client.destroy();
    }
  }

  /** Whether the module of this build has a command: some are being added. */
  async has(command: string): Promise<boolean> {
    const [info] = (await this.call("COMMAND", "INFO", command)) as unknown[];
    return info !== null;
  }

  /** Whether the module of this build takes BLOCK and OVERRIDE. */
  async hasBlocks(): Promise<boolean> {
    const words = ["RL.PEEK", "{p}", "FIXED", "1", "1s", "BLOCK", "{p}b", "1s", "OVERRIDE", "{p}o"];
    return this.call(...words).then(
      () => true,
      () => false,
    );
  }

  /** Lets the process stand still, as one that hangs. */
  freeze(): void {
    this.#process.kill("SIGSTOP");
  }

  /** Lets it go on. */
  thaw(): void {
    this.#process.kill("SIGCONT");
  }

  /** Kills the process as a power cut would. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process.exitCode !== null || process.signalCode !== null) return;
    const gone = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGKILL");
    await gone;
  }

  /** Starts it again after {@link kill}: same port, settings, clock; no data. */
  async startAgain(): Promise<void> {
    this.#process = this.#spawn();
    await this.#serves();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #spawn(): ChildProcess {
    const env = { ...process.env, ...this.clock.env };
    const child = spawn(serverPath(), [join(this.#dir, "redis.conf"), ...this.#args], {
      env,
      stdio: "ignore",
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    return child;
  }

  async #serves(): Promise<void> {
    const end = Date.now() + 20_000;
    for (;;) {
      const info = await this.call("INFO").catch(() => "");
      if (String(info).includes(`process_id:${this.#process.pid}`) && !String(info).includes("\nloading:1"))
        return;
      if (this.#process.exitCode !== null || Date.now() > end) {
        const log = readFileSync(join(this.#dir, "server.log"), "utf8");
        throw new Error(`the server did not start:\n${log.slice(-2000)}`);
      }
      await sleep(10);
    }
  }
}

/** A cluster of three, all slots covered, no replicas. */
export class Cluster {
  readonly servers: readonly Server[];

  private constructor(servers: readonly Server[]) {
    this.servers = servers;
  }

  static async start(options: ServerOptions = {}): Promise<Cluster> {
    const config = [...(options.config ?? []), "cluster-enabled yes", "cluster-node-timeout 5000"];
    const servers = await Promise.all([0, 1, 2].map(() => Server.start({ ...options, config })));
    const [first, ...others] = servers as [Server, ...Server[]];
    for (const [i, server] of servers.entries()) {
      const [from, to] = [Math.ceil((i * 16384) / 3), Math.ceil(((i + 1) * 16384) / 3) - 1];
      await server.call("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
      await server.call("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
    }
    for (const { port } of others) await first.call("CLUSTER", "MEET", "127.0.0.1", String(port));
    for (const server of servers) {
      await eventually(async () => {
        const info = String(await server.call("CLUSTER", "INFO"));
        return info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3");
      });
    }
    return new Cluster(servers);
  }

  get ports(): number[] {
    return this.servers.map(({ port }) => port);
  }

  /** How often any node has answered an error that begins with `code`. */
  async errors(code: string): Promise<number> {
    let count = 0;
    for (const server of this.servers) {
      const info = String(await server.call("INFO", "errorstats"));
      count += Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(info)?.[1] ?? 0);
    }
    return count;
  }

  /** How often the nodes have run a command: one number a node. */
  async calls(command: string): Promise<number[]> {
    return Promise.all(
      this.servers.map(async (server) => {
        const info = String(await server.call("INFO", "commandstats"));
        return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`, "i").exec(info)?.[1] ?? 0);
      }),
    );
  }

  /** Moves a slot that holds keys to the next node, its keys too; `halfway` is run while it lies in both. */
  async move(slot: number, halfway: () => Promise<void> = async () => {}): Promise<void> {
    const words = String(slot);
    const ids = await Promise.all(this.servers.map(async (s) => String(await s.call("CLUSTER", "MYID"))));
    const owned = await Promise.all(
      this.servers.map(async (s) => Number(await s.call("CLUSTER", "COUNTKEYSINSLOT", words))),
    );
    const from = owned.findIndex((count) => count > 0);
    const to = (from + 1) % this.servers.length;
    const [source, target] = [this.servers[from] as Server, this.servers[to] as Server];
    await target.call("CLUSTER", "SETSLOT", words, "IMPORTING", ids[from] as string);
    await source.call("CLUSTER", "SETSLOT", words, "MIGRATING", ids[to] as string);
    await halfway();
    const keys = (await source.call("CLUSTER", "GETKEYSINSLOT", words, "100")) as string[];
    await source.call("MIGRATE", "127.0.0.1", String(target.port), "", "0", "5000", "KEYS", ...keys);
    for (const server of [target, source]) {
      await server.call("CLUSTER", "SETSLOT", words, "NODE", ids[to] as string);
    }
    await eventually(async () => Number(await target.call("CLUSTER", "COUNTKEYSINSLOT", words)) > 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until something is so. */
export async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not so within ${withinMs} ms: ${holds}`);
    await sleep(20);
  }
}

function conf(dir: string, port: number, options: ServerOptions): string {
  const { config = [], withoutModule = false, sentinelOf } = options;
  const all = [`port ${port}`, "bind 127.0.0.1", `dir "${dir}"`, `logfile "${join(dir, "server.log")}"`];
  if (sentinelOf) return [...all, `sentinel monitor main 127.0.0.1 ${sentinelOf.port} 1`, ""].join("\n");
  return [
    ...all,
    'save ""',
    "appendonly no",
    "enable-debug-command yes",
    ...config,
    ...(withoutModule ? [] : [`loadmodule "${modulePath()}"`]),
    "",
  ].join("\n");
}

/** Below the kernel's range for outgoing connections, and below 20,000 so that the cluster bus meets no other port. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 10_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer()
        .once("error", () => resolve(false))
        .listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
