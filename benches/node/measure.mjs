// Requests a second and 99th percentiles of one Express application behind several limiters: `make bench-node`.
//   node measure.mjs --module FILE --server FILE [--quick] [--only WORD] [--save FILE]
// Medians of five rounds; in each round every case runs once, one after the other, so that a busy spell meets all.
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createClient } from "redis";
import { ATTACKED, CASES } from "./cases.mjs";
import { load } from "./load.mjs";

const { values } = parseArgs({
  options: {
    module: { type: "string" },
    server: { type: "string" },
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    save: { type: "string" },
  },
});
const { quick, only } = values;
if (!values.module || !values.server) throw new Error("--module and --server must be given");

const ROUNDS = quick ? 1 : 5;
const WARM_UP_MS = quick ? 300 : 1000;
const MS = quick ? 700 : 4000;
const PROCESSES = 8;
const PREFETCHED = 50;
const FREE = 1_000_000_000;

const redis = await startRedis();
const results = {};
try {
  results.allowed = await compare("CASES", CASES, FREE, 1000);
  results.attack = await compare("ATTACKED", { bare: CASES.bare, ...ATTACKED }, 1, 1);
  results.hot = await hotKey();
} finally {
  redis.stop();
}
const found = {
  server: redis.version,
  node: process.versions.node,
  cpus: cpus().length,
  rounds: ROUNDS,
  processes: PROCESSES,
  ...results,
};
print(found);
if (values.save) writeFileSync(values.save, `${JSON.stringify(found, null, 1)}\n`);

/** Each case beside the bare application of its own round. */
async function compare(group, cases, units, users) {
  const names = Object.keys(cases).filter((name) => name === "bare" || name.includes(only));
  const rounds = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const result = await once(name === "bare" ? "CASES" : group, name, units, users);
      if (result) rounds.get(name).push(result);
      else rounds.delete(name);
    }
    names.splice(0, names.length, ...names.filter((name) => rounds.has(name)));
  }
  const bare = rounds.get("bare");
  const measured = {};
  for (const [name, all] of rounds) {
    measured[name] = {
      rps: median(all.map(({ rps }) => rps)),
      p99_ms: median(all.map(({ p99 }) => p99)),
      rps_to_bare: median(all.map(({ rps }, i) => rps / bare[i].rps)),
      p99_to_bare: median(all.map(({ p99 }, i) => p99 / bare[i].p99)),
      app_us: median(all.map(({ appUs }) => appUs)),
      app_to_bare: median(all.map(({ appUs }, i) => appUs / bare[i].appUs)),
      redis_us: median(all.map(({ redisUs }) => redisUs)),
    };
  }
  return measured;
}

/** One run of one case; undefined where the package cannot do it. */
async function once(group, name, units, users) {
  await redis.client.flushAll();
  const app = child("app.mjs", group, name, String(units), String(redis.port));
  try {
    const { port } = await message(app);
    if (!port) return undefined;
    await load(port, { ms: WARM_UP_MS, users });
    const before = [await ask(app), await redis.cpuUs()];
    const result = await load(port, { ms: MS, users });
    const after = [await ask(app), await redis.cpuUs()];
    check(name, units, result);
    const [appUs, redisUs] = after.map((us, i) => (us - before[i]) / result.requests);
    return { ...result, appUs, redisUs };
  } finally {
    app.kill("SIGKILL");
  }
}

/** The processor time that an application has used. */
async function ask(app) {
  app.send("cpu");
  return (await message(app)).cpuUs;
}

/** A limiter that answers otherwise than meant would be measured at something else. */
function check(name, units, { statuses, requests }) {
  const wanted = units === FREE || name === "bare" ? "200" : "429";
  if (statuses[wanted] !== requests) throw new Error(`${name}: answers were ${JSON.stringify(statuses)}`);
}

/** One key from several processes, with prefetch and without. */
async function hotKey() {
  if (only) return {};
  const rounds = { without: [], prefetch: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, units] of [
      ["without", 0],
      ["prefetch", PREFETCHED],
    ]) {
      const children = Array.from({ length: PROCESSES }, () => child("hot.mjs", String(units), String(redis.port)));
      try {
        const ready = await Promise.all(children.map(message));
        if (!ready.every((one) => one.ready)) continue;
        const before = await redis.cpuUs();
        const answers = children.map(message);
        for (const one of children) one.send(MS);
        const count = (await Promise.all(answers)).reduce((sum, one) => sum + one.count, 0);
        const redisUs = ((await redis.cpuUs()) - before) / count;
        rounds[name].push({ rate: (count * 1000) / MS, redisUs });
      } finally {
        for (const one of children) one.kill("SIGKILL");
      }
    }
  }
  return Object.fromEntries(
    Object.entries(rounds)
      .filter(([, all]) => all.length > 0)
      .map(([name, all]) => [
        name,
        { rate: median(all.map(({ rate }) => rate)), redis_us: median(all.map(({ redisUs }) => redisUs)) },
      ]),
  );
}

function print({ allowed, attack, hot }) {
  for (const [title, cases] of [
    ["all allowed, 1,000 callers", allowed],
    ["all denied, one caller", attack],
  ]) {
    console.log(`\n${title}`);
    const rows = Object.entries(cases).map(([name, found]) => ({
      case: name,
      "requests/s": Math.round(found.rps),
      "to bare": found.rps_to_bare.toFixed(2),
      "p99 ms": found.p99_ms.toFixed(2),
      "p99 to bare": found.p99_to_bare.toFixed(2),
      "CPU µs": found.app_us.toFixed(0),
      "to bare ": found.app_to_bare.toFixed(2),
      "Redis' CPU µs": found.redis_us.toFixed(1),
    }));
    console.table(rows);
  }
  console.log(`\none key, ${PROCESSES} processes`);
  console.table(hot);
}

function child(file, ...args) {
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, { env: { ...process.env, NODE_ENV: "production" } });
}

/** What a child says next; an error where it ends first. */
function message(from) {
  return new Promise((resolve, reject) => {
    from.once("message", resolve);
    from.once("exit", (code) => reject(new Error(`a process ended by itself (${code})`)));
  });
}

async function startRedis() {
  const dir = mkdtempSync(join(tmpdir(), "bench-node-"));
  const port = await freePort();
  const args = ["--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--loadmodule", values.module];
  const server = spawn(values.server, args.map(String), { stdio: "ignore" });
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => {});
  await client.connect();
  const info = async (section) => Object.fromEntries((await client.info(section)).split("\r\n").map((line) => line.split(":")));
  const { redis_version, valkey_version } = await info("server");
  return {
    port,
    client,
    version: valkey_version ? `Valkey ${valkey_version}` : `Redis ${redis_version}`,
    /** The processor time that the server has used. */
    async cpuUs() {
      const { used_cpu_user: user, used_cpu_sys: sys } = await info("cpu");
      return (Number(user) + Number(sys)) * 1e6;
    },
    stop() {
      client.destroy();
      server.kill("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
