import { readFileSync } from "node:fs";
import type { AllItem, Charge, Decided, HeaderOptions, Key, Limiter, Problem } from "../../src/index.js";
import {
  type AnyLimit,
  fixedWindow,
  type Limit,
  leakyBucket,
  lease,
  slidingCounter,
  slidingLog,
  tokenBucket,
} from "../../src/limits.js";

/** A limit as vectors.json writes it: the maker's name and its options. */
export interface WrittenLimit {
  readonly algorithm: string;
  readonly [option: string]: unknown;
}

interface WrittenArgs {
  readonly key?: Key;
  readonly limit?: WrittenLimit;
  readonly charge?: Charge;
  readonly units?: number;
  readonly usage?: { readonly reserved: number; readonly actual: number };
  readonly items?: readonly (Omit<AllItem, "limit"> & { readonly limit: WrittenLimit })[];
}

/** A limit with its decision, as vectors.json writes it. */
export type WrittenDecided = Omit<Decided, "limit"> & { readonly limit: WrittenLimit };

export interface WrittenCall {
  readonly title: string;
  readonly method: string;
  readonly args: WrittenArgs;
  readonly words: readonly string[];
  readonly reply: unknown;
  readonly result: unknown;
}

export const vectors = JSON.parse(
  readFileSync(new URL("../../../vectors.json", import.meta.url), "utf8"),
) as {
  readonly keys: readonly { readonly key: Key; readonly redisKey: string }[];
  readonly names: readonly { readonly limit: WrittenLimit; readonly name: string }[];
  readonly wrongLimits: readonly { readonly limit: WrittenLimit; readonly argument: string }[];
  readonly calls: readonly WrittenCall[];
  readonly headers: readonly {
    readonly title: string;
    readonly format: NonNullable<HeaderOptions["format"]>;
    readonly now: number;
    readonly decided: readonly WrittenDecided[];
    readonly headers: Readonly<Record<string, string>>;
  }[];
  readonly problems: readonly {
    readonly title: string;
    readonly decided: readonly WrittenDecided[];
    readonly problem: Problem;
  }[];
  readonly addresses: readonly {
    readonly address: string;
    readonly ipv6Subnet?: number;
    readonly key: string;
  }[];
  readonly apiKeys: readonly { readonly secret: string; readonly key: string }[];
  readonly errors: readonly { readonly reply: string; readonly kind: "unavailable" | "mistake" }[];
};

const makers: Record<string, (options: never) => AnyLimit> = {
  tokenBucket,
  leakyBucket,
  fixedWindow,
  slidingCounter,
  slidingLog,
  lease,
};

export function make({ algorithm, ...options }: WrittenLimit): AnyLimit {
  return makers[algorithm]!(options as never);
}

export const makeDecided = (all: readonly WrittenDecided[]): Decided[] =>
  all.map((one) => ({ ...one, limit: make(one.limit) }));

/** Makes the call on a limiter. */
export function run(limiter: Limiter, { method, args }: WrittenCall): Promise<unknown> {
  const key = args.key as Key;
  const limit = (args.limit && make(args.limit)) as Limit;
  const items = args.items?.map((item) => ({ ...item, limit: make(item.limit) })) ?? [];
  switch (method) {
    case "consume":
      return limiter.consume(key, limit, args.charge);
    case "peek":
      return limiter.peek(key, limit, args.charge);
    case "refund":
      return limiter.refund(key, limit, args.units);
    case "settle":
      return limiter.settle(key, limit, args.usage!);
    case "reset":
      return limiter.reset(key, args.limit && limit);
    case "consumeAll":
      return limiter.consumeAll(items);
    case "peekAll":
      return limiter.peekAll(items);
    default:
      throw new Error(`vectors.json: no method ${method}`);
  }
}
