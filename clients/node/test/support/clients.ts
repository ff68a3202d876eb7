import { Redis as IoRedis, Cluster as IoRedisCluster } from "ioredis";
import { Redis as IoValkey, Cluster as IoValkeyCluster } from "iovalkey";
import { createClient, createClientPool, createCluster } from "redis";
import type { RedisClient } from "../../src/index.js";

/** A client under test, connected, and how it ends. */
export interface TestClient {
  readonly client: RedisClient;
  end(): unknown;
}

/** Every kind of client of one server that this package knows, by its name. */
export const ofOneServer: Record<string, (port: number) => Promise<TestClient>> = {
  "node-redis": async (port) => {
    const client = createClient({ url: `redis://127.0.0.1:${port}` });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  "node-redis RESP3": async (port) => {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP: 3 });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  "node-redis pool": async (port) => {
    const client = createClientPool({ url: `redis://127.0.0.1:${port}` }, { minimum: 2, maximum: 4 });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  ioredis: async (port) => {
    const client = new IoRedis(port, "127.0.0.1");
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  iovalkey: async (port) => {
    const client = new IoValkey(port, "127.0.0.1");
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  "an object with send()": async (port) => {
    const client = createClient({ url: `redis://127.0.0.1:${port}` });
    await client.connect();
    return { client: { send: (args) => client.sendCommand(args) }, end: () => client.destroy() };
  },
};

/** Every kind of client of a cluster. */
export const ofCluster: Record<string, (ports: readonly number[]) => Promise<TestClient>> = {
  "node-redis": async (ports) => {
    const client = createCluster({ rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })) });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  ioredis: async (ports) => {
    const client = new IoRedisCluster(ports.map((port) => ({ host: "127.0.0.1", port })));
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
  iovalkey: async (ports) => {
    const client = new IoValkeyCluster(ports.map((port) => ({ host: "127.0.0.1", port })));
    client.on("error", () => {});
    return { client, end: () => client.disconnect() };
  },
};
