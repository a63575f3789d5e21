import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**'],
    // Test files start real hosts with worker threads of their own: more than one file at a time on two cores
    // measures the machine, not the code.
    maxWorkers: 2,
    pool: 'forks',
    // On a shared CI machine a neighbour can take the cores away for seconds; the report shows what was run twice.
    retry: process.env.CI ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './test/support/count-reporter.ts'],
  },
});
