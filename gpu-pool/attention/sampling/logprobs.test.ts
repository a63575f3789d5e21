import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { LOWEST_LOGPROB, rawLogprobs } from './logprobs.ts';

test('is the logarithm of the softmax, by hand', () => {
  // Weights 1, 2, 4, 1 of 8.
  const logits = Float32Array.of(0, Math.log(2), Math.log(4), 0);
  const { logprob, top } = rawLogprobs(logits, 3, 3);
  expect(logprob).toBeCloseTo(Math.log(1 / 8), 6);
  expect(top.map(({ id }) => id)).toEqual([2, 1, 0]);
  expect(top[0].logprob).toBeCloseTo(Math.log(4 / 8), 6);
  expect(top[1].logprob).toBeCloseTo(Math.log(2 / 8), 6);
});

test('ranks like a full sort, gives the chosen token the same number, and sums to one over all tokens', () => {
  const logits = fc
    .array(fc.oneof(fc.float({ min: -30, max: 30, noNaN: true }), fc.integer({ min: -2, max: 2 })), {
      minLength: 1,
      maxLength: 50,
    })
    .map((values) => Float32Array.from(values));
  fc.assert(
    fc.property(logits, fc.nat(), fc.integer({ min: 0, max: 60 }), (values, choice, top) => {
      const chosen = choice % values.length;
      const ids = Array.from(values, (_, id) => id).sort((a, b) => values[b] - values[a] || a - b);
      const ranked = rawLogprobs(values, chosen, top);
      expect(ranked.top.map(({ id }) => id)).toEqual(ids.slice(0, top));
      const all = rawLogprobs(values, chosen, values.length);
      expect(all.top.find(({ id }) => id === chosen)?.logprob).toBe(ranked.logprob);
      expect(all.top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 9);
    }),
  );
});

test('stays exact for logits far from zero', () => {
  const near = rawLogprobs(Float32Array.of(0, 2), 0, 2);
  expect(rawLogprobs(Float32Array.of(4_000_000, 4_000_002), 0, 2)).toEqual(near);
  expect(rawLogprobs(Float32Array.of(-4_000_002, -4_000_000), 0, 2)).toEqual(near);
});

test('an impossible token gets a number that JSON can hold', () => {
  const { logprob, top } = rawLogprobs(Float32Array.of(0, Number.NEGATIVE_INFINITY, -3e38), 1, 3);
  expect(logprob).toBe(LOWEST_LOGPROB);
  expect(top).toEqual([
    { id: 0, logprob: 0 },
    { id: 2, logprob: LOWEST_LOGPROB },
    { id: 1, logprob: LOWEST_LOGPROB },
  ]);
});

test('unusable logits are an error', () => {
  expect(() => rawLogprobs(Float32Array.of(0, Number.NaN), 0, 1)).toThrow(JanusError);
});
