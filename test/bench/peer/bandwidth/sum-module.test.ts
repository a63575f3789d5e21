import { expect, it } from 'vitest';
import { sumModule } from './sum-module.ts';

it('reads every vector of the range once', () => {
  const bytes = 65_536;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(sumModule(bytes)));
  const { memory, sum } = instance.exports as {
    memory: WebAssembly.Memory;
    sum: (from: number, to: number) => number;
  };
  const words = new Int32Array(memory.buffer);
  // Only the first lane is returned: every fourth word.
  words.forEach((_, i) => {
    words[i] = i % 4 === 0 ? i : 1_000_000;
  });
  const expected = words.reduce((total, word, i) => total + (i % 4 === 0 ? word : 0), 0);
  expect(sum(0, bytes)).toBe(expected);
  expect(sum(64, 128)).toBe(16 + 20 + 24 + 28);
});
