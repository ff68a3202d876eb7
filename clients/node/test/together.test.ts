import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { slotOf } from "../src/clients/slot.js";
import { createLimiter, fixedWindow, type Limiter, lease, slidingLog } from "../src/index.js";
import { ofCluster, type TestClient } from "./support/clients.js";
import { allow, fakeClient, refuse } from "./support/fakes.js";
import { Cluster, eventually } from "./support/server.js";

const limit = fixedWindow({ limit: 5, window: "1m" });
const log = slidingLog({ limit: 2, window: "1m", name: "log" });
/** Four callers in slots of their own. */
const [a, b, c, d] = ["a", "b", "c", "d"] as const;

describe("several slots", () => {
  it("are charged one by one, in order; a refusal gives back what was charged, and asks nobody further", async () => {
    const client = fakeClient(([, key, ...words]) => {
      if (words.includes("COST")) return [1, 0, allow(5, 0)];
      return key === "rl:{c}" ? [0, 30_000, refuse()] : [1, 0, allow()];
    }, true);
    const limiter = createLimiter(client);
    const answer = await limiter.consumeAll([a, b, c, d].map((key) => ({ key, limit })));
    expect(answer).toMatchObject({
      allowed: false,
      refusedBy: 2,
      retryAfterMs: 30_000,
      atomic: false,
      decisions: [
        { allowed: true, granted: 0, used: 0, remaining: 5 },
        { allowed: true, granted: 0, used: 0 },
        { allowed: false, used: 5 },
        null,
      ],
    });
    expect(client.sent.map(([name, key, , , , ...rest]) => [name, key, ...rest].join(" "))).toEqual([
      "RL.ALL rl:{a}",
      "RL.ALL rl:{b}",
      "RL.ALL rl:{c}",
      "RL.ALL rl:{a} COST -1",
      "RL.ALL rl:{b} COST -1",
    ]);
  });

  it("are one call a slot, whatever the order; refunds come last", async () => {
    const client = fakeClient((words) => {
      const items = words.filter((word) => word === "FIXED").length;
      return [1, 0, ...Array.from({ length: items }, () => allow())];
    }, true);
    const { decisions, allowed, atomic } = await createLimiter(client).consumeAll([
      { key: a, limit, cost: -2 },
      { key: b, limit },
      { key: a, limit, cost: 3 },
      { key: { tag: "b", id: "2" }, limit },
    ]);
    expect([allowed, atomic]).toEqual([true, false]);
    expect(decisions.map((decision) => decision?.granted)).toEqual([0, 1, 3, 1]);
    expect(client.sent.map((words) => words.slice(1).join(" "))).toEqual([
      "rl:{b} FIXED 5 1m KEY rl:{b}2 FIXED 5 1m",
      "rl:{a} FIXED 5 1m COST 3",
      "rl:{a} FIXED 5 1m COST -2",
    ]);
  });

  it.each([
    ["open", "a", { allowed: true, refusedBy: null }, ["redis", "open", "redis"], 0],
    ["closed", "a", { allowed: false, refusedBy: 0 }, ["closed", "closed", "closed"], 1],
    [{ memory: {} }, "a", { allowed: true, refusedBy: null }, ["memory", "memory", "memory"], 1],
    [() => "open" as const, "a", { allowed: true }, ["open", "open", "open"], 1],
  ] as const)("Redis goes away midway, %s", async (onUnavailable, _key, answer, sources, refunds) => {
    const client = fakeClient(
      ([, key]) => (key === "rl:{b}" ? new Error("CLUSTERDOWN") : [1, 0, allow()]),
      true,
    );
    const limiter = createLimiter(client, { onUnavailable });
    const all = await limiter.consumeAll([a, b, c].map((key) => ({ key, limit })));
    expect(all).toMatchObject({ ...answer, atomic: false });
    expect(all.decisions.map((decision) => decision?.source)).toEqual(sources);
    expect(client.sent.filter((words) => words.includes("-1"))).toHaveLength(refunds);
  });

  it("a mistake midway gives back and is thrown; one in the words charges nothing", async () => {
    const client = fakeClient(
      ([, key]) => (key === "rl:{b}" ? new Error("WRONGTYPE hm") : [1, 0, allow()]),
      true,
    );
    const limiter = createLimiter(client);
    await expect(limiter.consumeAll([a, b].map((key) => ({ key, limit })))).rejects.toThrow("WRONGTYPE");
    expect(client.sent).toHaveLength(3);
    await expect(
      limiter.consumeAll([
        { key: a, limit },
        { key: b, limit, cost: 0.5 },
      ]),
    ).rejects.toThrow("cost");
    await expect(
      limiter.consumeAll([
        { key: a, limit },
        { key: b, limit: lease({ limit: 1, ttl: "1m" }) },
      ]),
    ).rejects.toThrow("id");
    expect(client.sent).toHaveLength(3);
  });

  it("all together wait timeoutMs at most, giving back included", async () => {
    const slow = () => new Promise((resolve) => setTimeout(resolve, 60, [1, 0, allow()]));
    const client = fakeClient(slow, true);
    const limiter = createLimiter(client, { timeoutMs: 100, onUnavailable: "closed" });
    const start = performance.now();
    const all = await limiter.consumeAll([a, b, c, d].map((key) => ({ key, limit })));
    expect(performance.now() - start).toBeLessThan(150);
    expect(all).toMatchObject({ allowed: false, atomic: false });
    // The first is given back behind; the second was on its way, so nobody knows.
    await vi.waitFor(() => expect(client.sent.filter((words) => words.includes("-1"))).toHaveLength(1));
  });
});

describe.each(Object.entries(ofCluster))("a real cluster, by %s", (name, connect) => {
  let cluster: Cluster;
  let connected: TestClient;
  let limiter: Limiter;

  beforeAll(async () => {
    cluster = await Cluster.start();
    connected = await connect(cluster.ports);
    limiter = createLimiter(connected.client, { timeoutMs: 5000 });
  });
  afterAll(async () => {
    await connected?.end();
    await cluster?.stop();
  });
  beforeEach(async () => {
    for (const server of cluster.servers) await server.call("FLUSHALL");
  });

  it("consumeAll charges all, or gives back", async () => {
    const items = [
      { key: a, limit },
      { key: b, limit: log },
      { key: c, limit, cost: 2 },
    ];
    expect(new Set(items.map(({ key }) => slotOf(`{${key}}`))).size).toBe(3);
    for (let used = 1; used <= 2; used++) {
      const all = await limiter.consumeAll(items);
      expect(all).toMatchObject({ allowed: true, atomic: false });
      expect(all.decisions.map((decision) => decision?.used)).toEqual([used, used, 2 * used]);
    }
    expect(await limiter.consumeAll(items)).toMatchObject({
      allowed: false,
      refusedBy: 1,
      decisions: [{ used: 2, granted: 0 }, { allowed: false }, null],
    });
    const peeked = await limiter.peekAll(items);
    expect(peeked).toMatchObject({ allowed: false, refusedBy: 1, atomic: false });
    expect(peeked.decisions.map((decision) => decision?.used)).toEqual([2, 2, 4]);
  });

  it("consumeAll releases leases", async ({ skip }) => {
    skip(!(await cluster.servers[0]!.has("rl.lease")), "the module has no RL.LEASE yet");
    const one = lease({ limit: 1, ttl: "60s", name: "jobs" });
    const none = fixedWindow({ limit: 0, window: "1m" });
    const id = "holder-1";
    expect(
      await limiter.consumeAll([
        { key: a, limit: one, id },
        { key: b, limit: none },
      ]),
    ).toMatchObject({
      allowed: false,
      refusedBy: 1,
      retryAfterMs: null,
      decisions: [{ granted: 0, used: 0 }, {}],
    });
    const held = await limiter.acquire(a, one);
    expect(held.allowed).toBe(true);
  });

  it(`${name}: a node that dies is no reason to let the others' limits go`, async () => {
    const key = (n: number) =>
      [a, b, c, d, "e", "f", "g"].find((k) => Math.floor(slotOf(`{${k}}`) / 5462) === n)!;
    const short = createLimiter(connected.client, { timeoutMs: 300, breaker: false });
    const items = [0, 1, 2].map((n) => ({ key: key(n), limit }));
    await cluster.servers[1]!.kill();
    await eventually(async () => {
      const { decisions } = await short.consumeAll(items);
      return decisions[1]?.source === "open";
    });
    const { decisions } = await short.peekAll(items);
    expect(decisions.map((decision) => decision?.source)).toEqual(["redis", "open", "redis"]);
    await cluster.servers[1]!.startAgain();
  });
});
