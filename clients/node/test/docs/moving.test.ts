import { afterAll, beforeAll, expect, it } from "vitest";
import { Server } from "../support/server.js";
import { blocks, page, pages, promised, run } from "./support.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server.stop());

const moving = pages("docs/moving").filter((path) => !path.endsWith("README.md"));
const REQUESTS = 101;

/** What is put behind a page's program, to call the application 101 times: 100 are allowed. */
const DRIVERS: Record<string, string> = {
  "rate-limit-redis": `
    app.get("/", (_, response) => response.send("hello"));
    const listening = await new Promise((done) => { const one = app.listen(0, "127.0.0.1", () => done(one)); });
    const call = async () => (await fetch("http://127.0.0.1:" + listening.address().port)).status;`,
  "fastify-rate-limit": `
    const address = await fastify.listen({ port: 0, host: "127.0.0.1" });
    const call = async () => (await fetch(address)).status;`,
  "hono-rate-limiter": `
    const call = async () => (await app.request("/")).status;`,
  "nestjs-throttler": `
    import "reflect-metadata";
    import { Controller, Get, Module, UseGuards } from "@nestjs/common";
    import { NestFactory } from "@nestjs/core";
    import { ThrottlerGuard } from "@nestjs/throttler";
    class Hello { hello() { return "hello"; } }
    Get()(Hello.prototype, "hello", Object.getOwnPropertyDescriptor(Hello.prototype, "hello"));
    Controller()(Hello);
    UseGuards(ThrottlerGuard)(Hello);
    class App {}
    Module({ imports: [limits], controllers: [Hello] })(App);
    const app = await NestFactory.create(App, { logger: false });
    await app.listen(0, "127.0.0.1");
    const call = async () => (await fetch("http://127.0.0.1:" + app.getHttpServer().address().port)).status;`,
};

// Twice more, since the programs wait 250 ms for an answer and the machine may be busy.
it.each(moving)("%s: the call you write works", { retry: 2 }, async (path) => {
  const programs = blocks(page(path), "The call you write", "js");
  expect(programs.length).toBeGreaterThan(0);
  const driver = DRIVERS[path.replace(/^.*\/|\.md$/g, "")];
  for (const program of programs) {
    await server.call("FLUSHALL");
    if (driver) {
      const calls = `${driver}
        for (let i = 0; i < ${REQUESTS}; i++) console.log(await call());`;
      const statuses = await run(program + calls, server.url);
      expect(statuses).toEqual([...Array(REQUESTS - 1).fill("200"), "429"]);
    } else {
      expect(promised(program).length).toBeGreaterThan(0);
      expect(await run(program, server.url)).toEqual(promised(program));
    }
  }
});

it.each(moving)("%s: has the call you have, the call you write, and what changes", (path) => {
  const headings = [...page(path).matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
  expect(headings).toEqual(["The call you have", "The call you write", "What changes"]);
});

it("each page is listed", () => {
  const listed = [...page("docs/moving/README.md").matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, file]) => file);
  expect(listed.sort()).toEqual(moving.map((path) => path.replace(/^.*\//, "")).sort());
});
