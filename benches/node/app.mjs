// The application under measurement, in a process of its own: node app.mjs <cases> <case> <limit> <Redis' port>
import express from "express";
import { createClient } from "redis";
import * as all from "./cases.mjs";

const [cases, name, units, port] = process.argv.slice(2);
const client = createClient({ url: `redis://127.0.0.1:${port}` });
client.on("error", (error) => console.error(error.message));
await client.connect();

const middleware = await all[cases][name](client, Number(units));
if (middleware) {
  const app = express();
  app.use(middleware);
  app.get("/", (_request, response) => response.json({ hello: "world" }));
  const server = app.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
  // Any message asks what the process has used so far.
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send({ cpuUs: user + system });
  });
} else {
  process.send({});
}
