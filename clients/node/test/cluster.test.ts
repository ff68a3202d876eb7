import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { slotOf } from "../src/clients/slot.js";
import { createLimiter, fixedWindow, slidingLog } from "../src/index.js";
import { ofCluster } from "./support/clients.js";
import { Cluster } from "./support/server.js";

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
    await cluster.move(slotOf(`rl:{${key}}`));
    expect(await limiter.consume(key, limit)).toMatchObject({ source: "redis", used: 2 });
    await end();
  });
});
