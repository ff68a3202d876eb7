import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { repository } from "../support/paths.js";

const packageFolder = fileURLToPath(new URL("../..", import.meta.url));

/** A page of the repository's docs, by its path there. */
export const page = (path: string) => readFileSync(join(repository, path), "utf8");

/** The pages of a folder. */
export const pages = (folder: string) =>
  readdirSync(join(repository, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `${folder}/${name}`);

/** The fenced blocks of a language under a heading, up to the next heading of its rank. */
export function blocks(text: string, heading: string, language: string): string[] {
  const under = text.split(/^## /m).find((section) => section.startsWith(`${heading}\n`)) ?? "";
  return [...under.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, of, code = ""]) =>
    of === language ? [code] : [],
  );
}

/** What a program must print: its comments behind `console.log(…);`. */
export const promised = (code: string) =>
  [...code.matchAll(/console\.log\(.*\);\s*\/\/ (.*)$/gm)].map(([, words]) => words);

/** Runs a program as a user of the built package would, and answers the lines that it prints. */
export async function run(code: string, redisUrl: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", `${code}\nprocess.exit(0);`],
    { cwd: packageFolder, env: { ...process.env, REDIS_URL: redisUrl }, timeout: 15_000 },
  );
  return stdout.split("\n").filter((line) => line !== "");
}
