import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take longest, the longest first. Vitest remembers how long files took, but not in a fresh checkout, where it begins
 * with those that have most lines: what takes longest would begin late, and run on when all others have ended.
 */
const LONGEST: readonly string[] = [
  'test/e2e/cli.test.ts',
  'test/integration/host-layouts.test.ts',
  'test/integration/link-conformance.test.ts',
  'test/e2e/batches.test.ts',
  'test/chaos/big-batch.test.ts',
  'test/integration/redis-relay.test.ts',
  'test/integration/layouts.test.ts',
  'test/e2e/worker.test.ts',
  'test/integration/thread-deaths.test.ts',
  'test/integration/redis-link.test.ts',
  'test/integration/golden.test.ts',
  'test/integration/constrained.test.ts',
  'test/integration/matrix.test.ts',
  'test/integration/replacement.test.ts',
  'test/chaos/kills.test.ts',
  'gpu-pool/packed/packed-model.test.ts',
  'test/e2e/sdk/node.test.ts',
  'test/integration/concurrency.test.ts',
  'test/e2e/sdk/workerd.test.ts',
  'test/integration/kernels.test.ts',
  'shared/constrained/automaton.test.ts',
  'functions/gateway/lifecycle.test.ts',
  'test/integration/emergency-placement.test.ts',
  'test/e2e/resume.test.ts',
  'gpu-pool/exchange/host-round.test.ts',
  'test/chaos/faults.test.ts',
  'functions/batches/takeover.test.ts',
  'test/e2e/supervise.test.ts',
];

/** Begins the files that take longest first, and the others behind them in vitest's own order. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONGEST.findIndex((path) => moduleId.endsWith(`/${path}`));
  return place < 0 ? LONGEST.length : place;
}
