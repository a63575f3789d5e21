import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSet } from './line-set.ts';

test('holds the lines that were added, and no others', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 300 })), (lines) => {
      const set = new LineSet(new Uint8Array(2));
      for (const line of lines) set.add(line);
      const held = Array.from({ length: 310 }, (_, line) => line).filter((line) => set.has(line));
      expect(held).toEqual(lines.toSorted((a, b) => a - b));
    }),
  );
});
