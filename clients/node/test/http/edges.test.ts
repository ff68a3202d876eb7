import { createServer, get as httpGet } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import express5 from "express";
import createFastify, { type FastifyReply } from "fastify";
import { afterEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { rateLimit } from "../../src/http/express.js";
import fastifyRateLimit from "../../src/http/fastify.js";
import { type LimitedRequest, withRateLimit } from "../../src/http/fetch.js";
import type { AnyLimit, Decision } from "../../src/index.js";
import { createLimiter, fixedWindow, LimiterError, lease } from "../../src/index.js";
import { sleep } from "../support/server.js";

const limit = fixedWindow({ limit: 5, window: "1m", name: "api" });
const calls: string[][] = [];
const answering = (...reply: number[]) =>
  createLimiter({
    send: async (words) => {
      calls.push(words);
      return reply;
    },
  });
const allowing = answering(1, 5, 4, 0, 60_000, 60_000, 1);
const denying = answering(0, 5, 0, 6_000, 6_000, 6_000, 5);
const address = () => "192.0.2.1";

const open: (() => unknown)[] = [];
afterEach(async () => {
  calls.length = 0;
  for (const close of open.splice(0)) await close();
});

async function listen(handler: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("options", () => {
  const wrong: [string, object][] = [
    ["limits", {}],
    ["limits", { limits: [] }],
    ["limits", { limits: [{}] }],
    ["limits", { limits: { limit: 5 } }],
    ["write [{ limit: a }, { limit: b }]", { limits: [limit, limit] }],
    ["costs is no option", { limits: [{ limit, costs: 5 }] }],
    ["lease", { limits: lease({ limit: 1, ttl: "1m" }) }],
    ["max is no option", { limits: limit, max: 5 }],
    ["headers", { limits: limit, headers: "draft-7" }],
    ["headers", { limits: limit, headers: true }],
    ["cost", { limits: limit, cost: -1 }],
    ["cost", { limits: limit, cost: "1" }],
    ["jitterMs", { limits: limit, jitterMs: -1 }],
    ["ipv6Subnet", { limits: limit, ipv6Subnet: 0 }],
    ["key", { limits: limit, key: "user" }],
    ["skip", { limits: limit, skip: true }],
    ["refundOn", { limits: limit, refundOn: true }],
    ["handler", { limits: limit, handler: "no" }],
  ];
  it.each(wrong)("%s: %o is an error at start, everywhere", async (word, options) => {
    expect(() => rateLimit(allowing, options as never)).toThrow(word);
    expect(() => rateLimit(allowing, options as never)).toThrow(LimiterError);
    expect(() => withRateLimit(allowing, { address, ...options } as never, () => null)).toThrow(word);
    const app = createFastify();
    await expect(app.register(fastifyRateLimit, { limiter: allowing, ...options } as never)).rejects.toThrow(
      word,
    );
  });

  it("without the limiter, or without options, are an error that tells how it is written", async () => {
    const bound = allowing.for("api", limit);
    for (const call of [
      () => rateLimit({ limits: limit } as never, undefined as never),
      () => rateLimit(bound as never, { limits: limit }),
      () => rateLimit(allowing, undefined as never),
      () => withRateLimit({ limits: limit, address } as never, (() => null) as never, undefined as never),
      () => withRateLimit(undefined as never, { limits: limit, address }, () => null),
      () => withRateLimit(allowing, undefined as never, () => null),
    ]) {
      expect(call).toThrow(LimiterError);
      expect(call).toThrow(/write (withR|r)ateLimit\(limiter, \{ limits/);
    }
    const app = createFastify();
    await expect(app.register(fastifyRateLimit, { limits: limit } as never)).rejects.toThrow(
      "write register(rateLimit, { limiter, limits })",
    );
  });

  it("of fetch must tell the caller", async () => {
    const handler = () => new Response();
    expect(() => withRateLimit(allowing, { limits: limit }, handler)).toThrow("address");
    expect(() => withRateLimit(allowing, { limits: [{ limit }] }, handler)).toThrow("address");
    withRateLimit(allowing, { limits: [{ limit, key: "site" }] }, handler);
    const late = withRateLimit(allowing, { limits: () => limit }, handler);
    await expect(late(new Request("http://x"))).rejects.toThrow("no address");
    const none = withRateLimit(allowing, { limits: limit, address: () => null }, handler);
    await expect(none(new Request("http://x"))).rejects.toThrow(LimiterError);
  });
});

describe.each([
  ["4", createRequire(import.meta.url)("express4") as typeof express5],
  ["5", express5],
])("Express %s", (_version, express) => {
  const errors: unknown[] = [];
  const caught: express5.ErrorRequestHandler = (error, _req, res, next) => {
    errors.push(error);
    if (res.headersSent) next(error);
    else res.status(500).end();
  };
  afterEach(() => {
    errors.length = 0;
  });

  it("two limits on one way tell both, but for one that tells nothing", async () => {
    const app = express();
    app.use(rateLimit(allowing, { limits: limit }));
    app.use(
      rateLimit(allowing, {
        limits: fixedWindow({ limit: 9, window: "1h", name: "hidden" }),
        headers: false,
      }),
    );
    app.get(
      "/",
      rateLimit(allowing, { limits: [{ limit: fixedWindow({ limit: 5, window: "1s", name: "route" }) }] }),
      (_req, res) => {
        res.end();
      },
    );
    const response = await fetch(await listen(app));
    expect(response.headers.get("ratelimit")).toBe('"api";r=4;t=60, "route";r=4;t=60');
    expect(response.headers.get("ratelimit-policy")).toBe('"api";q=5;w=60, "route";q=5;w=1');
  });

  it("a handler may let the request pass, and goes on once only", async () => {
    let handled = 0;
    const app = express();
    app.use(
      rateLimit(denying, {
        limits: limit,
        handler: async (_req, res, next) => {
          res.status(200);
          next();
          next();
          throw new Error("after next()");
        },
      }),
    );
    app.get("/", (_req, res) => {
      handled++;
      res.send("passed");
    });
    app.use(caught);
    const response = await fetch(await listen(app));
    expect([response.status, await response.text()]).toEqual([200, "passed"]);
    expect(response.headers.get("ratelimit")).toBe('"api";r=0;t=6');
    expect([handled, errors]).toEqual([1, []]);
  });

  it.each(["skip", "key", "limits", "cost", "onDenied", "handler"])(
    "an error of %s is the error handler's",
    async (option) => {
      const boom = async () => {
        throw new Error(option);
      };
      const app = express();
      app.use(rateLimit(denying, { limits: limit, [option]: boom }));
      app.get("/", (_req, res) => {
        res.end();
      });
      app.use(caught);
      expect((await fetch(await listen(app))).status).toBe(500);
      expect(errors).toMatchObject([{ message: option }]);
    },
  );

  it("a handler that throws after it has begun to answer ends the connection, no more", async () => {
    const app = express();
    app.use(
      rateLimit(denying, {
        limits: limit,
        handler: (_req, res) => {
          res.write("part");
          throw new Error("late");
        },
      }),
    );
    app.use(caught);
    app.use(((_error, _req, res, _next) => {
      res.destroy();
    }) as express5.ErrorRequestHandler);
    const url = await listen(app);
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow();
    expect(errors).toMatchObject([{ message: "late" }]);
  });

  it.each([
    ["allowed", allowing, 1],
    ["denied", denying, 0],
  ] as const)(
    "what was answered while Redis was asked stays as it is: %s",
    async (_title, limiter, expected) => {
      let handled = 0;
      const app = express();
      app.use((_req, res, next) => {
        next();
        res.status(503).end("timed out");
      });
      app.use(rateLimit(limiter, { limits: limit }));
      app.use((_req, _res) => {
        handled++;
      });
      app.use(caught);
      const response = await fetch(await listen(app));
      expect([response.status, await response.text()]).toEqual([503, "timed out"]);
      await sleep(20);
      expect([handled, errors]).toEqual([expected, []]);
    },
  );

  it("a client that hangs up before it is identified is let go", async () => {
    const app = express();
    let gone: (() => void) | undefined;
    app.use((req, _res, next) => {
      req.socket.once("close", () => {
        next();
        gone?.();
      });
    });
    app.use(rateLimit(allowing, { limits: limit }));
    app.use(caught);
    const url = await listen(app);
    const done = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const call = httpGet(url).on("error", () => {});
    setTimeout(() => call.destroy(), 50);
    await done;
    await sleep(20);
    expect(errors).toEqual([]);
  });

  it("a login that hangs up before the answer stays counted", async () => {
    const app = express();
    const asked: number[] = [];
    let answered: (() => void) | undefined;
    const done = new Promise<void>((resolve) => {
      answered = resolve;
    });
    app.use(
      rateLimit(allowing, {
        limits: limit,
        refundOn: (res) => asked.push(res.statusCode) > 0 && res.statusCode < 400,
      }),
    );
    app.get("/", (_req, res) => {
      // The status is 200 until the password has been looked at.
      setTimeout(() => {
        res.status(401).end();
        answered?.();
      }, 100);
    });
    const call = httpGet(await listen(app)).on("error", () => {});
    setTimeout(() => call.destroy(), 30);
    await done;
    await sleep(20);
    expect(asked.filter((status) => status < 400)).toEqual([]);
    expect(calls.filter((words) => words.includes("COST"))).toEqual([]);
  });

  it("what fails after the answer is a warning", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const app = express();
    app.use(
      rateLimit(allowing, {
        limits: limit,
        refundOn: () => {
          throw new Error("too late");
        },
      }),
    );
    app.get("/", (_req, res) => {
      res.send("fine");
    });
    expect((await fetch(await listen(app))).status).toBe(200);
    await vi.waitFor(() =>
      expect(warned).toHaveBeenCalledWith(expect.objectContaining({ message: "too late" })),
    );
    warned.mockRestore();
  });
});

describe("Fastify", () => {
  it("limits the instance where it is registered, and those inside", async () => {
    const app = createFastify();
    await app.register(async (scope) => {
      await scope.register(fastifyRateLimit, { limiter: denying, limits: limit });
      scope.get("/limited", async () => "in");
      await scope.register(async (inner) => {
        await inner.register(fastifyRateLimit, { limiter: denying, limits: limit, hook: "preHandler" });
        inner.get("/inner", async () => "in");
      });
    });
    app.get("/free", async () => "out");
    expect((await app.inject("/limited")).statusCode).toBe(429);
    expect((await app.inject("/inner")).statusCode).toBe(429);
    expect((await app.inject("/free")).statusCode).toBe(200);
  });

  it.each(["preValidation", "preHandler"] as const)("decides in %s, when the body is there", async (hook) => {
    const app = createFastify();
    await app.register(fastifyRateLimit, {
      limiter: allowing,
      limits: limit,
      hook,
      cost: (request) => (request.body as { units: number }).units,
    });
    app.post("/", async () => "in");
    await app.inject({ method: "POST", url: "/", payload: { units: 3 } });
    expect(calls).toEqual([["RL.FIXED", "rl:{ip:127.0.0.1}", "5", "1m", "COST", "3", "AS", "api"]]);
  });

  it.each([
    ["returns the body", () => ({ calm: true })],
    ["returns the reply", (reply: FastifyReply) => reply.send({ calm: true })],
    [
      "sends, and returns nothing",
      (reply: FastifyReply) => {
        reply.send({ calm: true });
      },
    ],
    [
      "sends later",
      async (reply: FastifyReply) => {
        await sleep(10);
        return reply.send({ calm: true });
      },
    ],
  ])("a handler %s, and a slow onSend changes nothing", async (_title, answer) => {
    const app = createFastify();
    let sends = 0;
    app.addHook("onSend", async () => {
      sends++;
      await sleep(20);
    });
    await app.register(fastifyRateLimit, {
      limiter: denying,
      limits: limit,
      handler: (_request, reply) => answer(reply),
    });
    app.get("/", async () => "in");
    const response = await app.inject("/");
    expect([response.statusCode, response.json(), sends]).toEqual([429, { calm: true }, 1]);
  });

  it("a handler may send by itself", async () => {
    const app = createFastify();
    await app.register(fastifyRateLimit, {
      limiter: denying,
      limits: limit,
      handler: (_request, reply) => reply.code(420).send({ calm: true }),
    });
    app.get("/", async () => "in");
    const response = await app.inject("/");
    expect([response.statusCode, response.json()]).toEqual([420, { calm: true }]);
    expect(response.headers["retry-after"]).toBe("6");
  });

  it("is a plugin for require() too", async () => {
    // The built package: `npm run check` builds it before the tests.
    const plugin = createRequire(import.meta.url)("redis-limiter-client/fastify").default;
    const app = createFastify();
    await app.register(plugin, { limiter: allowing, limits: limit });
    app.get("/", async () => "in");
    expect((await app.inject("/")).headers.ratelimit).toBe('"api";r=4;t=60');
  });
});

describe("fetch", () => {
  const request = () => new Request("http://x/");

  it("copies a response that is read-only", async () => {
    const redirect = withRateLimit(allowing, { limits: limit, address }, () =>
      Response.redirect("http://y/", 302),
    );
    const response = await redirect(request());
    expect([response.status, response.headers.get("location")]).toEqual([302, "http://y/"]);
    expect(response.headers.get("ratelimit")).toBe('"api";r=4;t=60');
  });

  it("passes on what is no response, as a proxy's nothing", async () => {
    expect(
      await withRateLimit(allowing, { limits: limit, address }, () => undefined)(request()),
    ).toBeUndefined();
    const error = await withRateLimit(allowing, { limits: limit, address }, () => Response.error())(
      request(),
    );
    expect(error.type).toBe("error");
  });

  it("tells all limits that a request passes", async () => {
    const inner = withRateLimit(
      allowing,
      { limits: fixedWindow({ limit: 5, window: "1s", name: "in" }), address },
      () => new Response(),
    );
    const outer = withRateLimit(allowing, { limits: limit, address }, (req: Request) => inner(req));
    expect((await outer(request())).headers.get("ratelimit")).toBe('"api";r=4;t=60, "in";r=4;t=60');
  });

  it("gives the handler what the platform gives, and waits for a refund by waitUntil", async () => {
    const waiting: Promise<unknown>[] = [];
    const context = { waitUntil: (work: Promise<unknown>) => waiting.push(work) };
    const seen: unknown[] = [];
    const limited = withRateLimit(
      (_request, env) => env.limiter,
      { limits: limit, address: (_request, env) => env.ip, refundOn: (response) => response.status === 200 },
      (req: LimitedRequest, env: { limiter: typeof allowing; ip: string }, ctx: unknown) => {
        seen.push(env.ip, ctx, req.rateLimit?.allowed);
        return new Response();
      },
    );
    await limited(request(), { limiter: allowing, ip: "192.0.2.7" }, context);
    expect(seen).toEqual(["192.0.2.7", context, true]);
    expect(waiting).toHaveLength(1);
    await waiting[0];
    expect(calls.map((words) => words.join(" "))).toEqual([
      "RL.FIXED rl:{ip:192.0.2.7} 5 1m AS api",
      "RL.FIXED rl:{ip:192.0.2.7} 5 1m COST -1 AS api",
    ]);
  });

  it("makes no client for a request that is skipped", async () => {
    const limited = withRateLimit(
      () => {
        throw new Error("made");
      },
      { limits: limit, address, skip: () => true },
      () => new Response("in"),
    );
    expect(await (await limited(request())).text()).toBe("in");
  });

  it("asks refundOn of a handler that throws, as of status 500", async () => {
    const asked: number[] = [];
    const limited = withRateLimit(
      allowing,
      { limits: limit, address, refundOn: ({ status }) => asked.push(status) > 0 },
      () => Promise.reject(new Error("down")),
    );
    await expect(limited(request())).rejects.toThrow("down");
    await vi.waitFor(() => expect(calls).toHaveLength(2));
    expect(asked).toEqual([500]);
  });

  it("gives nothing back that Redis did not charge", async () => {
    const decide = (source: Decision["source"], granted: number): Decision => ({
      allowed: true,
      granted,
      limit: 5,
      remaining: 4,
      retryAfterMs: 0,
      delayMs: 0,
      resetAfterMs: 0,
      nextAfterMs: 0,
      used: 0,
      blocked: false,
      source,
    });
    for (const [source, granted, refunds] of [
      ["memory", 1, 0],
      ["open", 1, 0],
      ["redis", 0, 0],
      ["redis", 3, 1],
    ] as const) {
      const refunded: [unknown, AnyLimit, number | undefined][] = [];
      const limiter = {
        consume: async () => decide(source, granted),
        consumeAll: allowing.consumeAll,
        refund: async (...args: (typeof refunded)[number]) => {
          refunded.push(args);
          return false as const;
        },
      };
      const limited = withRateLimit(
        limiter,
        { limits: limit, address, refundOn: () => true },
        () => new Response(),
      );
      await limited(request());
      await sleep(1);
      expect(refunded).toEqual(Array(refunds).fill(["ip:192.0.2.1", limit, granted]));
    }
  });

  it("types: options see what the handler takes, a denied request's handler its problem", () => {
    () => {
      const made = withRateLimit(
        allowing,
        {
          limits: limit,
          key: (_request, env) => {
            expectTypeOf(env).toEqualTypeOf<{ readonly tenant: string }>();
            return env.tenant;
          },
          handler: (_request, { status }) => new Response(null, { status }),
        },
        (_request: Request, _env: { readonly tenant: string }) => new Response(),
      );
      expectTypeOf(made).toExtend<(request: Request, env: { tenant: string }) => Promise<Response>>();
      // @ts-expect-error: one limit, or limits with keys
      withRateLimit(allowing, { limits: 5, address }, () => new Response());
    };
  });
});
