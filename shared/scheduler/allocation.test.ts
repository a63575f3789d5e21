import { expect, test } from 'vitest';
import { randomLayout, uniformRouting } from '../../test/support/scheduler/synthetic-steps.ts';
import { seededRandom } from '../placement/seeded-random.ts';
import { createScheduler } from './create-scheduler.ts';
import { indexLayout } from './layout-index.ts';
import { allocateRowGroups, RowGroups } from './row-groups.ts';
import { SCHEDULER_NAMES } from './scheduling.ts';

const CALLS = 10_000;
const ATTEMPTS = 20;
/** A single object per call would be at least 12 bytes. */
const LARGEST_BYTES_PER_CALL = 4;

test.each(SCHEDULER_NAMES)('scheduling with %s and grouping allocate nothing', (name) => {
  const limits = { maxTokens: 16, topK: 4, experts: 32, instances: 4 };
  const random = seededRandom(1);
  const index = indexLayout(randomLayout(32, 4, 24, random), 32);
  const ids = uniformRouting(16, 4, 32, random);
  const scheduler = createScheduler(name, limits, { costPerRow: 0.5 });
  const rowGroups = new RowGroups(limits, allocateRowGroups(limits));

  const heapGrowth = (): number => {
    const before = process.memoryUsage().heapUsed;
    for (let call = 0; call < CALLS; call += 1) {
      scheduler.schedule(index, ids, 16, 4);
      rowGroups.group(ids, scheduler.instanceOf, 16, 4, scheduler.instanceOfPair);
    }
    return process.memoryUsage().heapUsed - before;
  };
  // A growth below zero means that a garbage collection came between and says nothing; the compiler's own memory shows in
  // the first attempts. Code that allocates never gets below the bound.
  const growths = Array.from({ length: ATTEMPTS }, heapGrowth).filter((bytes) => bytes >= 0);
  expect(Math.min(...growths) / CALLS).toBeLessThan(LARGEST_BYTES_PER_CALL);
});
