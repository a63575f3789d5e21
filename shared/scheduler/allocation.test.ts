import { expect, test } from 'vitest';
import { staticPlacement } from '../placement/placement.ts';
import { AebsScheduler } from './aebs.ts';
import { indexLayout } from './layout-index.ts';
import { allocateRowGroups, RowGroups } from './row-groups.ts';

const CALLS = 20_000;
const ATTEMPTS = 20;
/** A single object per call would be at least 12 bytes. */
const LARGEST_BYTES_PER_CALL = 4;

test('scheduling and grouping a layer step allocate nothing', () => {
  const limits = { maxTokens: 16, topK: 4, experts: 32, instances: 4 };
  const instances = Array.from({ length: 4 }, (_, id) => ({ id, host: 'a' }));
  const placement = staticPlacement({
    version: 1,
    model: 'small',
    layers: 1,
    experts: 32,
    capacity: 12,
    instances,
  });
  const index = indexLayout(placement.layers[0], 32);
  const ids = Int32Array.from({ length: 64 }, (_, pair) => (pair * 7) % 32);
  const scheduler = new AebsScheduler(limits);
  const rowGroups = new RowGroups(limits, allocateRowGroups(limits));

  const heapGrowth = (): number => {
    const before = process.memoryUsage().heapUsed;
    for (let call = 0; call < CALLS; call += 1) {
      scheduler.schedule(index, ids, 16, 4);
      rowGroups.group(ids, scheduler.instanceOf, 16, 4);
    }
    return process.memoryUsage().heapUsed - before;
  };
  // A growth below zero means that a garbage collection came between and says nothing; the compiler's own memory shows in
  // the first attempts. Code that allocates never gets below the bound.
  const growths = Array.from({ length: ATTEMPTS }, heapGrowth).filter((bytes) => bytes >= 0);
  expect(Math.min(...growths) / CALLS).toBeLessThan(LARGEST_BYTES_PER_CALL);
});
