import { expect, test } from 'vitest';
import { CacheRegion } from './cache-region.ts';

test('buffers do not overlap, and what is given back is used again', () => {
  const buffer = new SharedArrayBuffer(64 * 1_024);
  const region = new CacheRegion(buffer, 1_024, 16 * 1_024);
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
  const region = new CacheRegion(new SharedArrayBuffer(64 * 1_024), 0, 8 * 1_024);
  const held = [region.allocate(1_024), region.allocate(1_024)];
  expect(() => region.allocate(1)).toThrow(/no room/);
  region.free(held[0]!);
  expect(region.allocate(1).length).toBe(1);
});
