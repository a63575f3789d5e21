import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { argmax, keepNucleus, selectLargest } from './selection.ts';

/** Few distinct values, so that ties are common. */
const coarseValues = fc
  .array(fc.oneof(fc.integer({ min: -4, max: 4 }), fc.constant(Number.NEGATIVE_INFINITY)), {
    minLength: 1,
    maxLength: 60,
  })
  .map((values) => Float32Array.from(values));

const bestFirst = (values: Float32Array | Float64Array): number[] =>
  Array.from(values, (_, id) => id).sort((a, b) =>
    values[a] === values[b] ? a - b : values[a] < values[b] ? 1 : -1,
  );

test('selectLargest is the head of the stable descending order', () => {
  fc.assert(
    fc.property(coarseValues, fc.nat(), (values, wanted) => {
      const count = wanted % (values.length + 1);
      const out = new Int32Array(values.length).fill(-1);
      selectLargest(values, count, out);
      expect([...out.subarray(0, count)]).toEqual(bestFirst(values).slice(0, count));
      expect(out.subarray(count).every((id) => id === -1)).toBe(true);
    }),
  );
});

test('argmax takes the lowest id among equals', () => {
  expect(argmax(Float32Array.of(1, 3, 3, 2))).toBe(1);
  expect(argmax(Float32Array.of(Number.NEGATIVE_INFINITY, -5))).toBe(1);
});

test.each([
  ['NaN anywhere', [1, Number.NaN, 2], /token 1 is NaN/],
  ['NaN in front', [Number.NaN, 2], /token 0 is NaN/],
  ['nothing above -Infinity', [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], /No token/],
  ['Infinity', [0, Number.POSITIVE_INFINITY], /token 1 is Infinity/],
])('argmax refuses logits with %s', (_, logits, message) => {
  expect(() => argmax(Float32Array.from(logits))).toThrow(JanusError);
  expect(() => argmax(Float32Array.from(logits))).toThrow(message);
});

function nucleus(weights: readonly number[], share: number): number[] {
  const candidates = Int32Array.from(weights, (_, id) => id);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const kept = keepNucleus(
    Float64Array.from(weights),
    candidates,
    weights.length,
    total,
    share,
    new Int32Array(weights.length),
  );
  return [...candidates.subarray(0, kept)];
}

test('keepNucleus keeps the token that crosses the share, and nothing after it', () => {
  expect(nucleus([1, 4, 2, 1], 0.5)).toEqual([1]);
  expect(nucleus([1, 4, 2, 1], 0.51)).toEqual([1, 2]);
  expect(nucleus([1, 4, 2, 1], 0.76)).toEqual([0, 1, 2]);
  expect(nucleus([1, 4, 2, 1], 0.99)).toEqual([0, 1, 2, 3]);
  expect(nucleus([1, 4, 2, 1], 1e-300)).toEqual([1]);
});

test('keepNucleus is the shortest head of the descending order that reaches the share, in the order of the candidates', () => {
  // Whole weights, and shares of an odd number of 512ths: sums are exact, so both sides must agree to the token.
  const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 511 }), (list, parts) => {
      const share = parts / 512;
      const target = share * list.reduce((sum, weight) => sum + weight, 0);
      const expected: number[] = [];
      let cumulative = 0;
      for (const id of bestFirst(Float64Array.from(list))) {
        expected.push(id);
        cumulative += list[id];
        if (cumulative >= target) break;
      }
      expect(nucleus(list, share)).toEqual(expected.sort((a, b) => a - b));
    }),
  );
});
