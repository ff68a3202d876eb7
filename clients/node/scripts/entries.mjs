// Writes package.json's `exports` from entries.json (entry point → source file), which tsup reads too.
//   node scripts/entries.mjs           write
//   node scripts/entries.mjs --check   fail where package.json is behind
import { readFileSync, writeFileSync } from "node:fs";

const read = (file) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
const manifest = JSON.parse(read("package.json"));

const exports = {};
for (const path of Object.keys(JSON.parse(read("entries.json")))) {
  const file = `./dist/${path === "." ? "index" : path.slice("./".length)}`;
  exports[path] = {
    import: { types: `${file}.d.ts`, default: `${file}.js` },
    require: { types: `${file}.d.cts`, default: `${file}.cjs` },
  };
}
exports["./package.json"] = "./package.json";

if (JSON.stringify(manifest.exports) !== JSON.stringify(exports)) {
  if (process.argv.includes("--check")) {
    console.error("package.json's exports are behind entries.json: run `npm run entries`");
    process.exit(1);
  }
  manifest.exports = exports;
  writeFileSync(new URL("../package.json", import.meta.url), `${JSON.stringify(manifest, null, 2)}\n`);
}
