import { defineConfig } from "tsup";
import entries from "./entries.json" with { type: "json" };

const name = (path: string) => (path === "." ? "index" : path.slice("./".length));

export default defineConfig({
  entry: Object.fromEntries(Object.entries(entries).map(([path, file]) => [name(path), file])),
  format: ["esm", "cjs"],
  target: "node20",
  // One LimiterError for all entry points: what they share is in chunks, in CommonJS too.
  splitting: true,
  dts: true,
  clean: true,
});
