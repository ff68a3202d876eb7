import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { slotOf } from "../src/clients/slot.js";
import { createLimiter, fixedWindow, slidingLog } from "../src/index.js";
import { ofCluster } from "./support/clients.js";
import { Cluster, eventually } from "./support/server.js";

const limit = fixedWindow({ limit: 1000, window: "1h" });
const log = slidingLog({ limit: 1000, window: "1h", name: "log" });
const CALLS = 1000;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster?.stop());

describe.each(Object.entries(ofCluster))("a cluster, by %s", (name, connect) => {
  it(`${CALLS} calls reach the right node at the first try`, async () => {
    const { client, end } = await connect(cluster.ports);
    const limiter = createLimiter(client, { timeoutMs: 5000 });
    await limiter.consume("warm-up", limit);
    const [moved, before] = [await cluster.errors("MOVED"), await cluster.calls("rl.fixed")];
    const decisions = await Promise.all(
      Array.from({ length: CALLS }, (_, i) => limiter.consume(`${name}:${i}`, limit)),
    );
    expect(decisions.every(({ source, used }) => source === "redis" && used === 1)).toBe(true);
    expect((await cluster.errors("MOVED")) - moved).toBe(0);
    const after = await cluster.calls("rl.fixed");
    const served = after.map((count, i) => count - before[i]!);
    expect(served.reduce((sum, count) => sum + count)).toBe(CALLS);
    for (const count of served) expect(count).toBeGreaterThan(CALLS / 6);
    await end();
  });

  it("charges limits of one caller together, and peeks", async () => {
    const { client, end } = await connect(cluster.ports);
    const limiter = createLimiter(client, { timeoutMs: 5000 });
    for (let i = 0; i < 20; i++) {
      const key = `${name}:all:${i}`;
      const items = [
        { key, limit },
        { key, limit: log },
        { key: { tag: key, id: "more" }, limit },
      ];
      expect(await limiter.consumeAll(items)).toMatchObject({ allowed: true, atomic: true });
      expect(await limiter.peek(key, log)).toMatchObject({ used: 1 });
      expect(await limiter.reset(key, log)).toBe(true);
    }
    await end();
  });

  it("follows a slot that moves", async () => {
    const { client, end } = await connect(cluster.ports);
    const limiter = createLimiter(client, { timeoutMs: 5000 });
    const key = `${name}:moves`;
    await limiter.consume(key, limit);
    await move(slotOf(`rl:{${key}}`));
    expect(await limiter.consume(key, limit)).toMatchObject({ source: "redis", used: 2 });
    await end();
  });
});

/** Moves a slot to the next node, its keys too. */
async function move(slot: number): Promise<void> {
  const ids = await Promise.all(cluster.servers.map(async (s) => String(await s.call("CLUSTER", "MYID"))));
  const owned = await Promise.all(
    cluster.servers.map(async (s) => Number(await s.call("CLUSTER", "COUNTKEYSINSLOT", String(slot)))),
  );
  const from = owned.findIndex((count) => count > 0);
  const to = (from + 1) % 3;
  const [source, target] = [cluster.servers[from]!, cluster.servers[to]!];
  await target.call("CLUSTER", "SETSLOT", String(slot), "IMPORTING", ids[from]!);
  await source.call("CLUSTER", "SETSLOT", String(slot), "MIGRATING", ids[to]!);
  const keys = (await source.call("CLUSTER", "GETKEYSINSLOT", String(slot), "100")) as string[];
  await source.call("MIGRATE", "127.0.0.1", String(target.port), "", "0", "5000", "KEYS", ...keys);
  for (const server of [target, source]) {
    await server.call("CLUSTER", "SETSLOT", String(slot), "NODE", ids[to]!);
  }
  await eventually(async () => Number(await target.call("CLUSTER", "COUNTKEYSINSLOT", String(slot))) > 0);
}
