import "reflect-metadata";
import { Controller, Get, type INestApplication, Module, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import {
  ThrottlerGuard,
  ThrottlerModule,
  type ThrottlerOptions,
  type ThrottlerStorage,
} from "@nestjs/throttler";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { NestThrottlerStorage, UnavailableError } from "../../src/stores/nestjs-throttler.js";
import { ofCluster } from "../support/clients.js";
import { Cluster, type Server } from "../support/server.js";
import { caller, type NodeRedis, PATIENT_MS, startRedis, statuses } from "./support.js";

let server: Server;
let client: NodeRedis;
let running: INestApplication | undefined;

beforeAll(async () => {
  ({ server, client } = await startRedis());
});
beforeEach(async () => {
  await client.flushAll();
});
afterEach(async () => {
  await running?.close();
  running = undefined;
});
afterAll(async () => {
  client.destroy();
  await server.stop();
});

/** The decorators of an application by hand, since the tests' compiler knows none. */
async function app(throttlers: ThrottlerOptions[], timeoutMs = PATIENT_MS) {
  class Hello {
    hello() {
      return "hello";
    }
  }
  Get()(Hello.prototype, "hello", Object.getOwnPropertyDescriptor(Hello.prototype, "hello")!);
  Controller()(Hello);
  UseGuards(ThrottlerGuard)(Hello);
  class App {}
  const storage = new NestThrottlerStorage({ client, timeoutMs });
  Module({ imports: [ThrottlerModule.forRoot({ throttlers, storage })], controllers: [Hello] })(App);
  running = await NestFactory.create(App, { logger: false });
  await running.listen(0, "127.0.0.1");
  return caller((running.getHttpServer().address() as { port: number }).port);
}

it("satisfies the throttler's interface", () => {
  expectTypeOf<NestThrottlerStorage>().toExtend<ThrottlerStorage>();
});

describe("@nestjs/throttler over HTTP", () => {
  it("denies above the limit, blocks for ttl unless told otherwise, then lets pass", async () => {
    const call = await app([{ ttl: 60_000, limit: 2 }]);
    expect((await call()).headers).toMatchObject({
      "x-ratelimit-limit": "2",
      "x-ratelimit-remaining": "1",
      "x-ratelimit-reset": "60",
    });
    server.clock.advance(30_000);
    expect((await call()).headers).toMatchObject({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30" });
    expect(await call()).toMatchObject({ status: 429, headers: { "retry-after": "60" } });
    server.clock.advance(59_001);
    expect(await call()).toMatchObject({ status: 429, headers: { "retry-after": "1" } });
    server.clock.advance(999);
    expect(await statuses(call, 3)).toEqual([200, 200, 429]);
  });

  it("blockDuration blocks for longer than the window; calls meanwhile do not prolong it", async () => {
    const call = await app([{ ttl: 1000, limit: 1, blockDuration: 10_000 }]);
    expect(await statuses(call, 2)).toEqual([200, 429]);
    for (let i = 0; i < 9; i++) {
      server.clock.advance(1000);
      expect((await call()).status).toBe(429);
    }
    server.clock.advance(1000);
    expect(await statuses(call, 2)).toEqual([200, 429]);
  });

  it("blockDuration 0 denies until the window ends, and makes no key of a block", async () => {
    const call = await app([{ ttl: 10_000, limit: 1, blockDuration: 0 }]);
    await call();
    server.clock.advance(9000);
    expect(await call()).toMatchObject({ status: 429, headers: { "retry-after": "1" } });
    expect(await client.keys("*block*")).toEqual([]);
    server.clock.advance(1000);
    expect(await statuses(call, 2)).toEqual([200, 429]);
  });

  it("counts each of several throttlers apart, with headers of their names", async () => {
    const call = await app([
      { name: "short", ttl: 1000, limit: 1, blockDuration: 0 },
      { name: "long", ttl: 60_000, limit: 3, blockDuration: 0 },
    ]);
    expect((await call()).headers).toMatchObject({
      "x-ratelimit-remaining-short": "0",
      "x-ratelimit-remaining-long": "2",
    });
    expect(await call()).toMatchObject({ status: 429, headers: { "retry-after-short": "1" } });
    server.clock.advance(1000);
    expect((await call()).headers).toMatchObject({ "x-ratelimit-remaining-long": "1" });
  });

  it("answers an error within timeoutMs while Redis is away", async () => {
    const call = await app([{ ttl: 60_000, limit: 2 }], 100);
    server.freeze();
    try {
      const start = performance.now();
      expect((await call()).status).toBe(500);
      expect(performance.now() - start).toBeLessThan(3000);
    } finally {
      server.thaw();
    }
  });
});

describe("the storage", () => {
  const storage = () => new NestThrottlerStorage({ client, timeoutMs: PATIENT_MS });

  it("tells the hits, and limit + 1 where denied", async () => {
    const hit = () => storage().increment("key", 60_000, 2, 0, "default");
    const passed = { isBlocked: false, timeToExpire: 60, timeToBlockExpire: 0 };
    expect(await hit()).toEqual({ totalHits: 1, ...passed });
    expect(await hit()).toEqual({ totalHits: 2, ...passed });
    const denied = { totalHits: 3, isBlocked: true, timeToExpire: 60, timeToBlockExpire: 60 };
    expect(await hit()).toEqual(denied);
    expect(await hit()).toEqual(denied);
  });

  it("keeps throttlers of one key apart, whatever their names", async () => {
    for (const name of ["a", "b {c}", "KEY", "x".repeat(100)]) {
      expect(await storage().increment("key", 60_000, 1, 60_000, name)).toMatchObject({ totalHits: 1 });
      expect(await storage().increment("key", 60_000, 1, 60_000, name)).toMatchObject({ isBlocked: true });
    }
  });

  it("a limit of 0 denies all, with a time", async () => {
    expect(await storage().increment("key", 60_000, 0, 0, "default")).toMatchObject({
      totalHits: 1,
      isBlocked: true,
      timeToBlockExpire: 60,
    });
  });

  it("throws what names the mistake, and UnavailableError while Redis is away", async () => {
    await expect(storage().increment("key", 0, 1, 0, "default")).rejects.toThrow("ttl");
    await expect(storage().increment("key", 1000, -1, 0, "default")).rejects.toThrow("limit");
    const away = { send: () => Promise.reject(new Error("LOADING Redis is loading the dataset in memory")) };
    const hit = new NestThrottlerStorage({ client: away }).increment("key", 1000, 1, 0, "default");
    await expect(hit).rejects.toThrow(UnavailableError);
  });
});

describe("a cluster", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start();
  });
  afterAll(() => cluster?.stop());

  it.each(Object.entries(ofCluster))("by %s: window and block lie in one slot", async (name, connect) => {
    const connected = await connect(cluster.ports);
    const storage = new NestThrottlerStorage({ client: connected.client, timeoutMs: 5000 });
    await storage.increment("warm-up", 1000, 1, 1000, name);
    const moved = await cluster.errors("MOVED");
    for (let i = 0; i < 20; i++) {
      await storage.increment(`k${i}`, 60_000, 1, 60_000, name);
      expect(await storage.increment(`k${i}`, 60_000, 1, 60_000, name)).toMatchObject({ isBlocked: true });
    }
    expect(await cluster.errors("MOVED")).toBe(moved);
    await connected.end();
  });
});
