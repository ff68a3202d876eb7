import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { repository, tmp } from "./paths.js";

const source = join(repository, "tests/support/clock.c");

/** A wall clock for a server, which the test freezes and moves: `tests/support/clock.c` says what its word means. */
export class Clock {
  readonly file: string;
  #frozenUs: bigint | undefined;
  #offsetUs = 0n;

  constructor(file: string) {
    this.file = file;
    this.#write(0n);
  }

  /** What LD_PRELOAD and the library need. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: library(), RL_TEST_CLOCK: this.file };
  }

  /** Stops the clock, at the real time unless told another (ms since 1970). */
  freeze(ms = Date.now()): void {
    this.#frozenUs = BigInt(ms) * 1000n;
    this.#write((this.#frozenUs << 1n) | 1n);
  }

  /** Moves the clock by `ms`, frozen or running. */
  advance(ms: number): void {
    const us = BigInt(Math.round(ms * 1000));
    if (this.#frozenUs === undefined) {
      this.#offsetUs += us;
      this.#write(this.#offsetUs << 1n);
    } else {
      this.#frozenUs += us;
      this.#write((this.#frozenUs << 1n) | 1n);
    }
  }

  /** In place, one write: the server has mapped the file. */
  #write(word: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(word);
    const fd = openSync(this.file, existsSync(this.file) ? "r+" : "w");
    writeSync(fd, bytes, 0, 8, 0);
    closeSync(fd);
  }
}

/** The compiled `clock.c`: built once for each version of it, beside the target and renamed. */
function library(): string {
  mkdirSync(tmp, { recursive: true });
  const version = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const path = join(tmp, `clock-node-${version}.so`);
  if (!existsSync(path)) {
    const unfinished = `${path}.${process.pid}`;
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", unfinished, source]);
    renameSync(unfinished, path);
  }
  return path;
}
