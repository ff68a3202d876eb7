import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repository = fileURLToPath(new URL("../../../../", import.meta.url));

export const tmp = join(tmpdir(), `redis-limiter-node-${process.getuid?.() ?? 0}`);

/** RL_TEST_MODULE, else what `make build` built. */
export function modulePath(): string {
  const target = process.env.CARGO_TARGET_DIR ?? join(repository, "target");
  const path = process.env.RL_TEST_MODULE ?? join(target, "release/libredis_limiter.so");
  if (!existsSync(path)) throw new Error(`no module at ${path}: run \`make build\``);
  return path;
}

/** RL_TEST_SERVER, else the server that `make test` brought, else the installed one. */
export function serverPath(): string {
  if (process.env.RL_TEST_SERVER) return process.env.RL_TEST_SERVER;
  const brought = join(repository, ".servers");
  const folders = [
    join(brought, "redis-8.2.3"),
    ...(existsSync(brought) ? readdirSync(brought).map((name) => join(brought, name)) : []),
    ...(process.env.PATH ?? "").split(delimiter),
  ];
  for (const folder of folders) {
    for (const name of ["redis-server", "valkey-server"]) {
      if (existsSync(join(folder, name))) return join(folder, name);
    }
  }
  throw new Error("no redis-server found: set RL_TEST_SERVER, or run `make test`");
}
