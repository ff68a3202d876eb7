import { Cluster as IoRedisCluster } from "ioredis";
import { createCluster, createSentinel } from "redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLimiter, fixedWindow, type RedisClient } from "../src/index.js";
import { ofOneServer, type TestClient } from "./support/clients.js";
import { Network } from "./support/network.js";
import { Cluster, eventually, Server } from "./support/server.js";

const limit = fixedWindow({ limit: 100, window: "1h", name: "once" });

/**
 * The connection ends after the command has run, before its answer comes. Many clients send such a command again: the
 * caller would be charged twice. `networks` are all the ways to the servers.
 */
async function chargesOnce(client: RedisClient, key: string, networks: readonly Network[]): Promise<void> {
  const limiter = createLimiter(client, { timeoutMs: 2000 });
  expect(await limiter.consume(key, limit)).toMatchObject({ source: "redis", used: 1 });
  for (const network of networks) network.cutAnswerOf("RL.FIXED");
  expect(await limiter.consume(key, limit)).toMatchObject({ source: "open" });
  for (const network of networks) network.cutAnswerOf(undefined);
  let used = 0;
  await eventually(async () => {
    const decision = await limiter.peek(key, limit);
    used = decision.used;
    return decision.source === "redis";
  });
  expect(used).toBe(2);
  // A pool may hand out the client that is still connecting.
  await eventually(async () => {
    const decision = await limiter.consume(key, limit);
    used = decision.used;
    return decision.source === "redis";
  });
  expect(used).toBe(3);
}

describe("a call whose answer is lost is charged once", () => {
  let server: Server;
  let network: Network;
  beforeAll(async () => {
    server = await Server.start();
    network = await Network.to(server.port);
  });
  afterAll(async () => {
    await network?.stop();
    await server?.stop();
  });

  // Whoever gives an object of his own answers for it.
  const known = Object.entries(ofOneServer).filter(([name]) => !name.includes("send()"));

  it.each(known)("%s", async (name, connect) => {
    const { client, end } = await connect(network.port);
    (client as { on?(event: string, listener: () => void): void }).on?.("error", () => {});
    await chargesOnce(client, name, [network]);
    await end();
  });

  it("node-redis sentinel", async () => {
    const sentinel = await Server.start({ sentinelOf: server });
    const client = createSentinel({
      name: "main",
      sentinelRootNodes: [{ host: "127.0.0.1", port: sentinel.port }],
      nodeAddressMap: (address) => ({
        host: "127.0.0.1",
        port: address.endsWith(`:${server.port}`) ? network.port : Number(address.split(":").at(-1)),
      }),
    });
    client.on("error", () => {});
    await client.connect();
    await chargesOnce(client, "sentinel", [network]);
    client.destroy();
    await sentinel.stop();
  });
});

describe("on a cluster", () => {
  let cluster: Cluster;
  let networks: Network[];
  beforeAll(async () => {
    cluster = await Cluster.start();
    networks = await Promise.all(cluster.servers.map(({ port }) => Network.to(port)));
  }, 60_000);
  afterAll(async () => {
    for (const network of networks ?? []) await network.stop();
    await cluster?.stop();
  });

  const clients: Record<
    string,
    (ports: number[], map: Record<string, { host: string; port: number }>) => Promise<TestClient>
  > = {
    ioredis: async (ports, natMap) => {
      const client = new IoRedisCluster(
        ports.map((port) => ({ host: "127.0.0.1", port })),
        { natMap },
      );
      client.on("error", () => {});
      return { client, end: () => client.disconnect() };
    },
    "node-redis": async (ports, nodeAddressMap) => {
      const rootNodes = ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
      const client = createCluster({ rootNodes, nodeAddressMap });
      client.on("error", () => {});
      await client.connect();
      return { client, end: () => client.destroy() };
    },
  };

  it.each(Object.entries(clients))("%s", async (name, connect) => {
    const ports = networks.map(({ port }) => port);
    const behind = (i: number) => ({ host: "127.0.0.1", port: ports[i] as number });
    const map = cluster.servers.map(({ port }, i) => [`127.0.0.1:${port}`, behind(i)]);
    const { client, end } = await connect(ports, Object.fromEntries(map));
    await chargesOnce(client, name, networks);
    await end();
  });
});
