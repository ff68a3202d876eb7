import { LimiterError, UnavailableError } from "../errors.js";
import type { Adapter, SendOptions } from "./adapter.js";
import { type Connecting, Readiness } from "./readiness.js";
import { slotOf } from "./slot.js";

interface NodeRedis {
  readonly isOpen: boolean;
  on(event: "error", listener: (error: unknown) => void): unknown;
  listenerCount(event: "error"): number;
}

interface CommandOptions {
  readonly abortSignal?: AbortSignal;
}

/** `createClient()` and `createClientPool()` of node-redis. */
export interface NodeRedisClient extends NodeRedis {
  sendCommand(args: string[], options?: CommandOptions): Promise<unknown>;
}

/** `createCluster()` of node-redis. */
export interface NodeRedisCluster extends NodeRedis {
  readonly isReady: boolean;
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: string[],
    options?: CommandOptions,
  ): Promise<unknown>;
  getSlotMaster(slot: number): unknown;
}

/** `createSentinel()` of node-redis. */
export interface NodeRedisSentinel extends NodeRedis {
  readonly isReady: boolean;
  sendCommand(isReadonly: boolean | undefined, args: string[], options?: CommandOptions): Promise<unknown>;
  getMasterNode(): unknown;
}

export type AnyNodeRedis = NodeRedisClient | NodeRedisCluster | NodeRedisSentinel;

/**
 * node-redis. Its own `timeout` and `abortSignal` end no command that is written, but the signal takes one that is not yet
 * written out of every queue.
 */
export function nodeRedis(client: AnyNodeRedis): Adapter {
  // Without a listener a lost connection would end the process.
  if (client.listenerCount("error") === 0) client.on("error", () => {});
  const send = sender(client);
  const isReady = () => ("isReady" in client ? client.isReady === true : client.isOpen); // A pool has isOpen only.
  const isCluster = "getSlotMaster" in client;
  const readyEvent = isCluster ? "connect" : "ready";
  const readiness = new Readiness(client as unknown as Connecting, isReady, readyEvent);
  return {
    cluster: isCluster,
    keyPrefix: keyPrefixOf(client),
    async send(words, options) {
      if (!client.isOpen) {
        if (readiness.wasReady) throw new UnavailableError("connection", "the client is closed");
        throw new LimiterError("the client was never connected: await client.connect() first");
      }
      if (!isReady() || !readiness.wasReady) await readiness.ready(options.signal);
      return send(words, options);
    },
  };
}

function sender(client: AnyNodeRedis): (words: string[], options: SendOptions) => Promise<unknown> {
  if ("getSlotMaster" in client) {
    return async (words, { key, readonly, signal }) => {
      if (!readonly) refuseLostNode(client, slotOf(key));
      return client.sendCommand(key, readonly, words, { abortSignal: signal });
    };
  }
  if ("getMasterNode" in client && "_execute" in client) {
    const sentinel = client as unknown as Executing;
    return async (words, { readonly, signal }) => {
      const answer = await sentinel._execute(readonly, (one) => attempt(one, words, signal));
      if ("error" in answer) throw answer.error;
      return answer.reply;
    };
  }
  if ("getMasterNode" in client) {
    return (words, { readonly, signal }) => client.sendCommand(readonly, words, { abortSignal: signal });
  }
  if ("execute" in client) {
    const pool = client as unknown as Pool;
    return (words, { signal }) =>
      pool.execute(async (one) => {
        if (!one.isReady) throw new UnavailableError("connection", "a client of the pool is not connected");
        return one.sendCommand(words, { abortSignal: signal });
      });
  }
  return (words, { signal }) => client.sendCommand(words, { abortSignal: signal });
}

/** A pool tells of itself only that it is open; its clients tell the rest. */
interface Pool {
  execute(task: (client: NodeRedisClient & { isReady: boolean }) => Promise<unknown>): Promise<unknown>;
}

/** What a sentinel's own `sendCommand` is made of. */
interface Executing {
  _execute<T>(readonly: boolean, task: (client: NodeRedisClient) => Promise<T>): Promise<T>;
}

/**
 * A sentinel sends again what a lost connection left without an answer: a call that had run would be charged twice. So only
 * one that surely has not is thrown to it.
 */
async function attempt(
  client: NodeRedisClient,
  words: string[],
  signal: AbortSignal,
): Promise<{ readonly reply: unknown } | { readonly error: unknown }> {
  try {
    return { reply: await client.sendCommand(words, { abortSignal: signal }) };
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("READONLY")) throw error;
    return { error };
  }
}

/** A node that has gone is no place to wait; node-redis looks by itself for who took its slots. */
function refuseLostNode(cluster: NodeRedisCluster, slot: number): void {
  const node = cluster.getSlotMaster(slot) as
    | { address?: string; client?: { isReady: boolean }; connectPromise?: unknown }
    | undefined;
  if (node?.client && !node.client.isReady && !node.connectPromise) {
    throw new UnavailableError("connection", `${node.address} is lost`);
  }
}

/** node-redis puts its prefix before the keys of the commands that it knows, not before those of `sendCommand`. */
function keyPrefixOf(client: AnyNodeRedis): string {
  const { _keyPrefix } = client as { _keyPrefix?: unknown };
  return typeof _keyPrefix === "string" ? _keyPrefix : "";
}
