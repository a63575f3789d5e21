import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BLOCK_TOKENS, blockKey, ROOT_KEY } from './block-key.ts';

const block = fc.array(fc.nat(200_000), { minLength: BLOCK_TOKENS, maxLength: BLOCK_TOKENS });

test('a key is a whole number that a double holds exactly, and depends on the ids of its block alone', () => {
  fc.assert(
    fc.property(block, block, fc.integer({ min: 0, max: 2 ** 53 - 1 }), (before, ids, parent) => {
      const key = blockKey(parent, ids, 0);
      expect(Number.isSafeInteger(key) && key >= 0).toBe(true);
      expect(blockKey(parent, [...before, ...ids, 7], BLOCK_TOKENS)).toBe(key);
      expect(blockKey(parent, Int32Array.from(ids), 0)).toBe(key);
    }),
  );
});

test('one other id, two swapped ones, or another beginning give another key', () => {
  fc.assert(
    fc.property(block, fc.nat(BLOCK_TOKENS - 1), fc.nat(BLOCK_TOKENS - 1), (ids, at, other) => {
      const key = blockKey(ROOT_KEY, ids, 0);
      expect(blockKey(ROOT_KEY, ids.with(at, ids[at] + 1), 0)).not.toBe(key);
      if (ids[at] !== ids[other]) {
        expect(blockKey(ROOT_KEY, ids.with(at, ids[other]).with(other, ids[at]), 0)).not.toBe(key);
      }
      expect(blockKey(key, ids, 0)).not.toBe(key);
    }),
  );
});

test('keys of similar blocks use all of their bits', () => {
  const keys = Array.from({ length: 20_000 }, (_, i) =>
    blockKey(ROOT_KEY, new Int32Array(BLOCK_TOKENS).fill(i), 0),
  );
  expect(new Set(keys).size).toBe(keys.length);
  for (let bit = 0; bit < 53; bit++) {
    const set = keys.filter((key) => Math.floor(key / 2 ** bit) % 2 === 1).length;
    expect(Math.abs(set / keys.length - 0.5)).toBeLessThan(0.02);
  }
});
