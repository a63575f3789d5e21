import { expect, test } from 'vitest';
import { config, EngineBed } from '../../test/support/attention/engine-bed.ts';
import { CacheRegion, cacheBufferBytes } from './cache-region.ts';

const bytesOf = (tokens: number): number =>
  2 * config.layers * cacheBufferBytes(tokens * config.keyValueHeads * config.headSize, UNIT_BYTES);
const UNIT_BYTES = 4_096;
const newRegion = (bytes: number): CacheRegion =>
  new CacheRegion(new SharedArrayBuffer(bytes), 0, bytes, UNIT_BYTES);
const prompt = (seed: number): number[] =>
  Array.from({ length: 20 }, (_, i) => 5 + ((seed * 31 + i * 7) % 900));

test('a sequence for which there is no memory now waits for those that run, and is answered as ever', async () => {
  const bed = new EngineBed({ prefixBytes: 0, region: newRegion(bytesOf(64)) });
  const roomy = new EngineBed({ prefixBytes: 0 });
  const requests = [1, 2, 3].map(
    (seed) => [bed.submit(prompt(seed), 5), roomy.submit(prompt(seed), 5)] as const,
  );
  await bed.drain();
  await roomy.drain();
  for (const [narrow, wide] of requests) {
    expect(bed.answer(narrow).length).toBe(5);
    expect(bed.answer(narrow)).toEqual(roomy.answer(wide));
  }
});

test('a sequence for which there is no memory although nothing runs is refused', async () => {
  const bed = new EngineBed({ prefixBytes: 0, region: newRegion(bytesOf(64)) });
  const request = bed.submit(prompt(1), 100);
  await bed.drain();
  expect(bed.lastEvent(request)).toMatchObject({ kind: 'failed' });
  // Those that fit are answered as before.
  const next = bed.submit(prompt(2), 5);
  await bed.drain();
  expect(bed.answer(next).length).toBe(5);
});
