// One of several processes that all charge one key: node hot.mjs <prefetched units, or 0> <Redis' port>
// Each message is how many ms to run; the answer is how many calls were decided in them.
import { createClient } from "redis";
import { createLimiter, fixedWindow } from "../../clients/node/dist/index.js";

const [units, port] = process.argv.slice(2).map(Number);
const client = createClient({ url: `redis://127.0.0.1:${port}` });
client.on("error", (error) => console.error(error.message));
await client.connect();
const limit = fixedWindow({ limit: 1e12, window: "1h" });
const options = units > 0 ? { prefetch: { units, maxMs: 1000 } } : {};
const hot = createLimiter(client).for("hot", limit, options);

// A package that does not know the option asks Redis each time.
const sources = [];
for (let i = 0; i < 3; i++) sources.push((await hot.consume("probe")).source);
process.send({ ready: units === 0 || sources.includes("cache") });

process.on("message", async (ms) => {
  const end = performance.now() + ms;
  let count = 0;
  const loop = async () => {
    while (performance.now() < end) {
      await hot.consume("hot");
      count++;
      // What is served from memory never waits, and must let the others run.
      if (count % 64 === 0) await new Promise(setImmediate);
    }
  };
  await Promise.all(Array.from({ length: 4 }, loop));
  process.send({ count });
});
