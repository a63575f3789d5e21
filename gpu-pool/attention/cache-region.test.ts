import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CacheRegion, cacheBufferBytes } from './cache-region.ts';

const UNIT_BYTES = 4_096;

test('buffers do not overlap, and what is given back is used again', () => {
  const buffer = new SharedArrayBuffer(64 * 1_024);
  const region = new CacheRegion(buffer, 1_024, 16 * 1_024, UNIT_BYTES);
  const first = region.allocate(1_000);
  const second = region.allocate(1_025);
  first.fill(1);
  second.fill(2);
  expect(first.every((value) => value === 1)).toBe(true);
  expect(first.byteOffset).toBeGreaterThanOrEqual(1_024);
  region.free(first);
  expect(region.allocate(900).byteOffset).toBe(first.byteOffset);
});

test('says so when there is no room left, and has room again when something is given back', () => {
  const region = new CacheRegion(new SharedArrayBuffer(64 * 1_024), 0, 8 * 1_024, UNIT_BYTES);
  const held = [region.allocate(1_024), region.allocate(1_024)];
  expect(() => region.allocate(1)).toThrow(/no room/);
  region.free(held[0]!);
  expect(region.allocate(1).length).toBe(1);
});

test('has room for as many of the largest buffers as were counted on, whatever came and went before', () => {
  const largest = 16 * 1_024;
  const count = 3;
  const requests = fc.array(
    fc.record({ holder: fc.nat(count - 1), floats: fc.integer({ min: 1, max: largest }) }),
  );
  fc.assert(
    fc.property(requests, (history) => {
      const region = new CacheRegion(
        new SharedArrayBuffer(2 ** 20),
        64,
        count * cacheBufferBytes(largest, UNIT_BYTES),
        UNIT_BYTES,
      );
      const held: (Float32Array | undefined)[] = new Array(count).fill(undefined);
      for (const { holder, floats } of history) {
        if (held[holder]) region.free(held[holder]);
        held[holder] = region.allocate(floats);
      }
      for (const [holder, buffer] of held.entries()) {
        if (buffer) region.free(buffer);
        held[holder] = region.allocate(largest);
      }
      const starts = held.map((buffer) => buffer!.byteOffset).sort((a, b) => a - b);
      expect(starts).toEqual(
        Array.from({ length: count }, (_, i) => 64 + i * cacheBufferBytes(largest, UNIT_BYTES)),
      );
    }),
  );
});

test('does not join blocks across the ends of a region that is no power of two', () => {
  const region = new CacheRegion(new SharedArrayBuffer(64 * 1_024), 0, 12 * 1_024, UNIT_BYTES);
  const held = [1, 2, 3].map(() => region.allocate(1_024));
  for (const buffer of held) region.free(buffer);
  expect(() => region.allocate(4_096)).toThrow(/no room/);
  expect([region.allocate(2_048).byteOffset, region.allocate(1_024).byteOffset]).toEqual([0, 8 * 1_024]);
});
