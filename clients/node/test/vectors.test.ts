import { describe, expect, it } from "vitest";
import { classify, LimiterError, UnavailableError } from "../src/errors.js";
import { createLimiter } from "../src/index.js";
import { hashKey } from "../src/keys.js";
import { defaultName } from "../src/limits.js";
import { make, run, vectors } from "./support/vectors.js";

describe("vectors.json", () => {
  it.each(vectors.keys)("the key of $key is $redisKey", ({ key, redisKey }) => {
    expect(hashKey("rl:", key)).toBe(redisKey);
  });

  it.each(vectors.names)("$limit is called $name", ({ limit, name }) => {
    expect(defaultName(make(limit))).toBe(name);
  });

  it.each(vectors.wrongLimits)("$limit is an error that names $argument", ({ limit, argument }) => {
    expect(() => make(limit)).toThrow(LimiterError);
    expect(() => make(limit)).toThrow(new RegExp(`^${argument} `));
  });

  it.each(vectors.errors)("$reply is: $kind", ({ reply, kind }) => {
    const error = classify(new Error(reply), "RL.FIXED", "rl:{user:7}");
    expect(error).toBeInstanceOf(kind === "mistake" ? LimiterError : UnavailableError);
    if (error instanceof LimiterError) {
      expect(error).toMatchObject({ command: "RL.FIXED", key: "rl:{user:7}" });
      expect(error.message).toContain(reply);
    }
  });

  describe("calls", () => {
    it.each(vectors.calls)("$method: $title", async (call) => {
      const sent: string[][] = [];
      const client = {
        send: async (words: string[]) => {
          sent.push(words);
          return call.reply;
        },
      };
      const result = await run(createLimiter(client), call);
      expect(sent).toEqual([call.words]);
      expect(result).toEqual(call.result);
    });
  });
});
