import { shown } from "../duration.js";
import { LimiterError } from "../errors.js";
import type { Adapter, CustomClient } from "./adapter.js";
import { type AnyIoRedis, type IoRedisClient, type IoRedisCluster, ioRedis } from "./ioredis.js";
import {
  type AnyNodeRedis,
  type NodeRedisClient,
  type NodeRedisCluster,
  type NodeRedisSentinel,
  nodeRedis,
} from "./node-redis.js";

export type { Adapter, CustomClient, SendOptions } from "./adapter.js";
export type { IoRedisClient, IoRedisCluster, NodeRedisClient, NodeRedisCluster, NodeRedisSentinel };

/**
 * A connected client: of node-redis (client, pool, cluster, sentinel), of ioredis or iovalkey (client, cluster), or any
 * object with `send(args, { key, readonly, signal })`. Connecting, TLS and passwords are its own matter; so is closing.
 */
export type RedisClient = AnyNodeRedis | AnyIoRedis | CustomClient;

const known = new WeakMap<object, Adapter>();

/** The adapter of a client, the same for each limiter on it. */
export function adapt(client: RedisClient): Adapter {
  const found = known.get(client as object);
  if (found) return found;
  const adapter = choose(client);
  known.set(client, adapter);
  return adapter;
}

function choose(client: RedisClient): Adapter {
  const is = (client ?? {}) as unknown as Record<string, unknown>;
  if (typeof is.sendCommand === "function" && typeof is.isOpen === "boolean") {
    return nodeRedis(client as AnyNodeRedis);
  }
  if (typeof is.sendCommand === "function" && typeof is.status === "string")
    return ioRedis(client as AnyIoRedis);
  if (typeof is.send === "function") {
    const custom = client as CustomClient;
    return {
      cluster: custom.cluster === true,
      keyPrefix: "",
      send: (words, options) => custom.send(words, options),
    };
  }
  throw new LimiterError(
    `client must be one of node-redis, ioredis or iovalkey, or an object with send(), not ${shown(client)}`,
  );
}
