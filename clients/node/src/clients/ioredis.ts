import { LimiterError, UnavailableError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { type Connecting, Readiness } from "./readiness.js";
import { slotOf } from "./slot.js";

/** `new Redis()` of ioredis and of iovalkey. */
export interface IoRedisClient {
  readonly status: string;
  readonly isCluster: boolean;
  readonly options: { readonly keyPrefix?: string | undefined };
  connect(): Promise<unknown>;
  call(command: string, ...args: string[]): Promise<unknown>;
}

/** `new Cluster()` of ioredis and of iovalkey. */
export interface IoRedisCluster extends IoRedisClient {
  readonly slots: string[][];
  nodes(role?: "all" | "master" | "slave"): object[];
}

export type AnyIoRedis = IoRedisClient | IoRedisCluster;

/** ioredis' Command: public at run time, but its `slot` is not in the types. */
interface Command {
  name: string;
  args: string[];
  slot?: number;
  promise: Promise<unknown>;
  reject(error: Error): void;
}

type CommandClass = new (
  name: string,
  args: string[],
  options: { replyEncoding: "utf8"; readOnly: boolean },
) => Command;

interface Node {
  readonly status: string;
  readonly options: { readonly host?: string; readonly port?: number };
}

interface EventSource {
  on(event: string, listener: () => void): unknown;
}

/** What ioredis says of commands whose connection has ended. */
const CLOSED = "Connection is closed.";

/** States in which a connection is lost. */
const LOST = new Set(["reconnecting", "close", "disconnecting", "end"]);

/**
 * ioredis and iovalkey. They know neither our commands' keys nor how to give one up:
 * - A Command whose `slot` is set goes to the right node and follows redirects; `keyPrefix` is put on by us.
 * - After a reconnect they send again what had no answer, and what waited: a call that had run would be charged twice. So
 *   what is under way fails with its connection. That, and what nobody waits for any more, becomes a PING.
 */
export function ioRedis(client: AnyIoRedis): Adapter {
  const readiness = new Readiness(client as unknown as Connecting, () => client.status === "ready");
  const { keyPrefix = "" } = client.options;
  const Command = commandClass(client);
  const underWay = new Set<(error: Error) => void>();
  (client as unknown as EventSource).on("close", () => {
    for (const fail of underWay) fail(new Error("the connection was lost before the answer came"));
  });
  return {
    cluster: client.isCluster,
    keyPrefix: String(keyPrefix),
    async send([name = "", ...args], { key, readonly, signal }) {
      if (LOST.has(client.status))
        throw new UnavailableError("connection", `the client is lost (${client.status})`);
      if (client.status === "wait") client.connect().catch(() => {}); // lazyConnect: the first command connects.
      if (client.status !== "ready" || !readiness.wasReady) await readiness.ready(signal);
      const slot = client.isCluster ? slotOf(key) : undefined;
      if (slot !== undefined && !readonly) refuseLostNode(client as IoRedisCluster, slot);
      const command = new Command(name, args, { replyEncoding: "utf8", readOnly: readonly });
      if (slot !== undefined) command.slot = slot;
      const giveUp = () => {
        command.name = "ping";
        command.args = [];
      };
      const fail = (error: Error) => {
        giveUp();
        command.reject(error);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      underWay.add(fail);
      (client as unknown as { sendCommand(command: Command): unknown }).sendCommand(command);
      if (slot !== undefined) failWithItsNode(command);
      try {
        return await command.promise;
      } finally {
        underWay.delete(fail);
        signal.removeEventListener("abort", giveUp);
      }
    },
  };
}

/** A cluster sends again what ioredis' own words call closed; it has put that into `reject` when it took the command. */
function failWithItsNode(command: Command): void {
  const reject = command.reject;
  command.reject = (error) =>
    reject.call(command, error.message === CLOSED ? new Error("the node's connection was lost") : error);
}

/** A node that has gone is no place to wait. One that ioredis has not met yet is found by it. */
function refuseLostNode(cluster: IoRedisCluster, slot: number): void {
  const address = cluster.slots[slot]?.[0];
  const node = (cluster.nodes("all") as Node[]).find(
    ({ options }) => `${options.host}:${options.port}` === address,
  );
  if (node && LOST.has(node.status))
    throw new UnavailableError("connection", `${address} is lost (${node.status})`);
}

/**
 * The class of the client's own package, so that this one need not import it: taken from a command that the client makes
 * and is kept from sending. (Its `constructor` tells nothing: a mixin overwrites it.)
 */
function commandClass(client: AnyIoRedis): CommandClass {
  let made: Command | undefined;
  const maker: AnyIoRedis = Object.create(client, {
    options: { value: { ...client.options, enableAutoPipelining: false } },
    sendCommand: {
      value: (command: Command) => {
        made = command;
        return command.promise;
      },
    },
  });
  void maker.call("ping");
  if (!made) throw new LimiterError("the client is none of ioredis or iovalkey: give an object with send()");
  return made.constructor as CommandClass;
}
