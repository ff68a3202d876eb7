import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { Server } from "../support/server.js";
import { blocks, page, promised, run } from "./support.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
beforeEach(async () => {
  await server.call("FLUSHALL");
});
afterAll(() => server.stop());

it.each(blocks(page("docs/clients.md"), "Node.js", "js"))(
  "program %# of docs/clients.md runs",
  async (program) => {
    expect(promised(program).length).toBeGreaterThan(0);
    expect(await run(program, server.url)).toEqual(promised(program));
  },
);

it("has programs", () => {
  expect(blocks(page("docs/clients.md"), "Node.js", "js")).toHaveLength(3);
});
