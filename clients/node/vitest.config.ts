import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Each file spawns servers of its own; the machine is shared.
    maxWorkers: 2,
    minWorkers: 1,
  },
});
