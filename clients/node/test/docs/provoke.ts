import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";
import { Cluster, Server } from "../support/server.js";

/** A server in trouble: where to call, as whom, and what. */
export interface Trouble {
  readonly port: number;
  readonly words: readonly string[];
  readonly user?: { readonly username: string; readonly password: string };
  /** Ends it. */
  stop(): Promise<unknown>;
}

const FIXED = ["RL.FIXED", "rl:{u}", "100", "1m"];

/** Every error that docs/troubleshooting.md explains, and how it comes about: by the code that it begins with. */
export const TROUBLES: Readonly<Record<string, () => Promise<Trouble>>> = {
  "unknown command": async () => {
    const server = await Server.start({ withoutModule: true });
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  WRONGTYPE: async () => {
    const server = await Server.start();
    await server.call("SET", "rl:{u}", "of somebody else");
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  NOPERM: async () => {
    const server = await Server.start();
    await server.call("ACL", "SETUSER", "app", "on", ">secret", "~rl:*", "+@read");
    const user = { username: "app", password: "secret" };
    return { port: server.port, words: FIXED, user, stop: () => server.stop() };
  },
  "NOPERM of a key": async () => {
    const server = await Server.start();
    await server.call("ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+@all");
    const user = { username: "app", password: "secret" };
    return { port: server.port, words: FIXED, user, stop: () => server.stop() };
  },
  NOAUTH: async () => {
    const server = await Server.start();
    await server.call("CONFIG", "SET", "requirepass", "secret");
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  READONLY: async () => {
    const primary = await Server.start();
    const server = await Server.start({ config: [`replicaof 127.0.0.1 ${primary.port}`] });
    return { port: server.port, words: FIXED, stop: () => Promise.all([server.stop(), primary.stop()]) };
  },
  NOREPLICAS: async () => {
    const server = await Server.start({ config: ["min-replicas-to-write 1"] });
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  OOM: async () => {
    const server = await Server.start({ config: ["maxmemory 1", "maxmemory-policy noeviction"] });
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  LOADING: async () => {
    const server = await Server.start({
      config: ["key-load-delay 1000", "loading-process-events-interval-bytes 1024"],
    });
    await server.call("DEBUG", "POPULATE", "20000");
    void server.call("DEBUG", "RELOAD").catch(() => {});
    await sleep(300);
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
  BUSY: async () => {
    const server = await Server.start({ config: ["busy-reply-threshold 1"] });
    const client = createClient({ url: server.url }).on("error", () => {});
    await client.connect();
    void client.sendCommand(["EVAL", "while true do end", "0"]).catch(() => {});
    await sleep(300);
    return { port: server.port, words: FIXED, stop: () => Promise.all([client.destroy(), server.stop()]) };
  },
  CROSSSLOT: async () => {
    const cluster = await Cluster.start();
    // The first key is in slot 3300, of the first node: newer servers look at that before anything else.
    const words = ["RL.ALL", "rl:{b}", "FIXED", "1", "1m", "KEY", "rl:{a}", "FIXED", "1", "1m"];
    return { port: cluster.ports[0] as number, words, stop: () => cluster.stop() };
  },
  MOVED: async () => {
    const cluster = await Cluster.start();
    // Of slot 11826: the third node's.
    return { port: cluster.ports[0] as number, words: FIXED, stop: () => cluster.stop() };
  },
  CLUSTERDOWN: async () => {
    const server = await Server.start({ config: ["cluster-enabled yes"] });
    return { port: server.port, words: FIXED, stop: () => server.stop() };
  },
};
