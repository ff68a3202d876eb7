import { execFileSync } from "node:child_process";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterEach, describe, expect, it } from "vitest";
import { createLimiter, fixedWindow, LimiterError, UnavailableError } from "../../src/index.js";
import { serverPath } from "../support/paths.js";
import { eventually, Server, sleep } from "../support/server.js";
import { TROUBLES, type Trouble } from "./provoke.js";
import { page } from "./support.js";

const text = page("docs/troubleshooting.md");
const limit = fixedWindow({ limit: 100, window: "1m" });
const python = pythonWithRedis();

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

/** What a section of the page says. */
function section(heading: string) {
  const body = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  const [name, kind] = /^- redis-limiter-client: `(\w+)`(?:, kind `(\w+)`)?$/m.exec(body)?.slice(1) ?? [];
  return {
    quoted: [...body.matchAll(/^```\n(.*?)\n```$/gms)].map(([, words]) => words),
    ours: { name, kind },
    python: /^- redis-py: `(\w+)`$/m.exec(body)?.[1],
  };
}

/** Connects without trying for ever. */
async function nodeRedis({ port, user }: Trouble) {
  const client = createClient({ socket: { port, host: "127.0.0.1", reconnectStrategy: false }, ...user });
  client.on("error", () => {});
  ending.push(() => client.isOpen && client.destroy());
  await client.connect();
  return client;
}

function ioRedis({ port, user }: Trouble, options: object = {}) {
  const client = new Redis({ port, host: "127.0.0.1", enableReadyCheck: false, ...user, ...options });
  client.on("error", () => {});
  ending.push(() => client.disconnect());
  return client;
}

const thrown = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    (answer) => {
      throw new Error(`no error, but ${answer}`);
    },
    (error) => error,
  );

/** Ports differ from run to run, and some words from server to server. */
const likened = (message: string) => message.replace(/127\.0\.0\.1:\d+/, "127.0.0.1:7002");
/** Whether the server is the one that the page quotes. */
const quotes82 = execFileSync(serverPath(), ["--version"], { encoding: "utf8" }).includes("v=8.2");

describe.each(Object.entries(TROUBLES))("%s", (name, provoke) => {
  const { quoted, ours, python: exception } = section(name.replace(" of a key", ""));

  it("is what the page quotes, in every client", { timeout: 60_000 }, async () => {
    const trouble = await provoke();
    ending.unshift(() => trouble.stop());
    const [command = "", ...args] = trouble.words;
    const io = ioRedis(trouble, { maxRetriesPerRequest: 0 });
    const said = await Promise.all([
      thrown(nodeRedis(trouble).then((client) => client.sendCommand([...trouble.words]))),
      thrown(io.call(command, ...args)),
    ]);
    const messages = said.map((error) => likened(error.message));
    expect(messages[0]).toBe(messages[1]);
    if (quotes82) expect(quoted).toContain(messages[0]);
    else expect(quoted.map((words) => words?.split(" ")[0])).toContain(messages[0]?.split(" ")[0]);

    if (name !== "NOAUTH") {
      const client = await nodeRedis(trouble);
      let unavailable: UnavailableError | undefined;
      const limiter = createLimiter(client, {
        timeoutMs: 2000,
        onUnavailable: (error) => {
          unavailable = error;
          return "open";
        },
      });
      const items = ["b", "a"].map((key) => ({ key, limit }));
      const calls = command === "RL.ALL" ? limiter.consumeAll(items) : limiter.consume("u", limit);
      const mistake = await calls.then(
        () => undefined,
        (error: unknown) => error,
      );
      expect((unavailable ?? (mistake as Error))?.name).toBe(ours.name);
      expect(unavailable?.kind).toBe(ours.kind);
    }
    if (python) {
      const [type, words] = inPython(python, trouble);
      expect(type).toBe(exception);
      expect(said[0]?.message.trim().endsWith(words ?? "?")).toBe(true);
    }
  });
});

describe("a connection", () => {
  it("that hangs says what the page says", async () => {
    const server = await Server.start();
    ending.push(() => server.stop());
    const trouble = { port: server.port, words: ["PING"], stop: () => server.stop() };
    const [client, io] = [await nodeRedis(trouble), ioRedis(trouble, { commandTimeout: 1000 })];
    await io.ping();
    server.freeze();
    let waits = true;
    client.sendCommand(["PING"]).then(
      () => (waits = false),
      () => (waits = false),
    );
    expect(await unavailability(client)).toMatchObject({
      kind: "timeout",
      message: "no answer within 250 ms",
    });
    expect(text).toContain("`no answer within 250 ms`, kind `timeout`");
    expect((await thrown(io.ping())).message).toBe("Command timed out");
    expect(text).toContain("`Command timed out`");
    expect(waits).toBe(true);
    if (python) {
      expect(inPython(python, trouble).join(": ")).toBe("TimeoutError: Timeout reading from socket");
      expect(text).toContain("`TimeoutError: Timeout reading from socket`");
    }
    server.thaw();
  });

  it("that is gone says what the page says", async () => {
    const server = await Server.start();
    ending.push(() => server.stop());
    const trouble = { port: server.port, words: ["PING"], stop: () => server.stop() };
    const client = createClient({ url: server.url, disableOfflineQueue: true }).on("error", () => {});
    await client.connect();
    ending.unshift(() => client.destroy());
    const io = ioRedis(trouble, { maxRetriesPerRequest: 1, retryStrategy: () => 50 });
    await io.ping();
    const limiters = [createLimiter(client), createLimiter(io)];
    for (const limiter of limiters) await limiter.consume("u", limit);
    await server.kill();
    await sleep(20);
    for (const [one, says] of [
      [client, "the client is not connected"],
      [io, "the client is lost (reconnecting)"],
    ] as const) {
      await eventually(async () => (await unavailability(one))?.message === says);
      expect(text).toContain(`kind \`connection\`: \`${says}\``);
    }
    for (const promise of [client.ping(), io.ping()]) {
      expect(text).toContain(`\`${(await thrown(promise)).message}\``);
    }
    if (python) {
      const says = inPython(python, trouble).join(": ").replace(/1:\d+/, "1:6379");
      expect(text).toContain(`\`${says}\``);
    }
  });

  it("that never was says what the page says", async () => {
    const error = await thrown(createLimiter(createClient()).consume("u", limit));
    expect(error).toBeInstanceOf(LimiterError);
    expect(section("never connected")).toMatchObject({
      quoted: [error.message],
      ours: { name: "LimiterError" },
    });
  });
});

it("a hash of the application's is other data", async () => {
  const server = await Server.start();
  ending.push(() => server.stop());
  await server.call("HSET", "rl:{u}", "name", "Ann");
  const client = await nodeRedis({ port: server.port, words: [], stop: () => server.stop() });
  const said = await thrown(client.sendCommand(["RL.FIXED", "rl:{u}", "1", "1m"]));
  expect(section("holds other data").quoted).toEqual([said.message]);
});

it("the rights that the page gives are enough, and no more than it says", async () => {
  const server = await Server.start();
  ending.push(() => server.stop());
  const words = /^ACL SETUSER .*$/m.exec(text)?.[0].split(" ") ?? [];
  const categories = (await server.call("ACL", "CAT")) as string[];
  if (!categories.includes("ratelimit")) return; // The page says so: an older server.
  await server.call(...words);
  const user = { username: "app", password: "secret" };
  const client = await nodeRedis({ port: server.port, words: [], user, stop: () => server.stop() });
  const limiter = createLimiter(client);
  await limiter.consume("u", limit);
  await limiter.peek("u", limit);
  expect(await limiter.reset("u", limit)).toBe(true);
  await limiter.consume("u", limit);
  expect(await limiter.reset("u")).toBe(true);
  expect((await thrown(client.get("rl:{u}"))).message).toContain("NOPERM");
});

async function unavailability(client: Parameters<typeof createLimiter>[0]) {
  let found: UnavailableError | undefined;
  const onUnavailable = (error: UnavailableError) => {
    found = error;
    return "open" as const;
  };
  await createLimiter(client, { onUnavailable }).consume("u", limit);
  expect(found).toBeInstanceOf(UnavailableError);
  return found;
}

/** A Python that has redis-py: RL_TEST_PYTHON, else the system's; where neither has it, its quotes are not checked. */
function pythonWithRedis(): string | undefined {
  const path = process.env.RL_TEST_PYTHON ?? "python3";
  try {
    execFileSync(path, ["-c", "import redis"], { stdio: "ignore" });
    return path;
  } catch {
    return undefined;
  }
}

/** The class and the words of the exception that a call gets in redis-py. */
function inPython(path: string, { port, user, words }: Trouble): string[] {
  const options = { host: "127.0.0.1", port, socket_timeout: 1, ...user };
  const script = `
import json, redis, sys
options, words = json.loads(sys.argv[1])
try:
    redis.Redis(retry=None, **options).execute_command(*words)
except Exception as error:
    print(type(error).__name__, error, sep="\\n")`;
  return execFileSync(path, ["-c", script, JSON.stringify([options, words])], { encoding: "utf8" })
    .trim()
    .split("\n");
}
