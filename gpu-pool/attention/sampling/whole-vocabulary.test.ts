import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomNumbers } from '../../runtime/testing/tiny-model.ts';
import { WholeVocabulary } from './whole-vocabulary.ts';

/** Inverse transform sampling in f64, with the distances of the random number from the next ids. */
function reference(logits: Float32Array, temperature: number, random: number) {
  const largest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const mass = weights.reduce((sum, weight) => sum + weight, 0);
  let cumulative = 0;
  let id = 0;
  for (; id < weights.length - 1; id++) {
    cumulative += weights[id]!;
    if (cumulative > random * mass) break;
  }
  const below = cumulative - weights[id]!;
  const margin = Math.min(Math.abs(cumulative - random * mass), Math.abs(random * mass - below)) / mass;
  return { id, margin };
}

test('draws what inverse transform sampling draws', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.double({ min: 0.05, max: 5, noNaN: true }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      fc.integer(),
      (size, temperature, random, seed) => {
        const logits = randomNumbers(size, seed).map((value) => 6 * value);
        const { id, margin } = reference(logits, temperature, random);
        // Closer to the border of two ids than the sums are exact, either is right.
        if (margin > 1e-5) expect(WholeVocabulary.open(size)!.draw(logits, temperature, random)).toBe(id);
      },
    ),
    { numRuns: 200 },
  );
});

test('never draws what has no probability, wherever the random number falls', () => {
  const logits = new Float32Array(300).fill(Number.NEGATIVE_INFINITY);
  logits[140] = 1;
  logits[150] = 1;
  const vocabulary = WholeVocabulary.open(300)!;
  expect(vocabulary.draw(logits, 1, 0)).toBe(140);
  expect(vocabulary.draw(logits, 1, 0.49)).toBe(140);
  expect(vocabulary.draw(logits, 1, 0.51)).toBe(150);
  expect(vocabulary.draw(logits, 1, 1 - 2 ** -53)).toBe(150);
});

test('finds the best token at any temperature, however small', () => {
  const logits = Float32Array.of(3, 3.001, 2.999);
  for (const temperature of [1e-7, 1e-30, 1e-300]) {
    expect(WholeVocabulary.open(3)!.draw(logits, temperature, 0.7)).toBe(1);
  }
});

test('takes the lowest id among the best, wherever they stand', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NEGATIVE_INFINITY)), {
        minLength: 1,
        maxLength: 300,
      }),
      (values) => {
        const largest = Math.max(...values);
        const expected = Number.isFinite(largest) ? values.indexOf(largest) : -1;
        expect(WholeVocabulary.open(values.length)!.best(Float32Array.from(values))).toBe(expected);
      },
    ),
    { numRuns: 100 },
  );
});

test('says where no token can be taken or drawn', () => {
  const vocabulary = WholeVocabulary.open(4)!;
  const { NEGATIVE_INFINITY, NaN: nan, POSITIVE_INFINITY } = Number;
  for (const logits of [
    Float32Array.of(1, nan, 2, 3),
    Float32Array.of(-1, -2, -3, nan),
    new Float32Array(4).fill(NEGATIVE_INFINITY),
    Float32Array.of(1, POSITIVE_INFINITY, 2, 3),
  ]) {
    expect(vocabulary.draw(logits, 1, 0.5)).toBe(-1);
    expect(vocabulary.best(logits)).toBe(-1);
  }
  // What stood in the memory before does no harm.
  expect(vocabulary.draw(Float32Array.of(0, 50, 0, 0), 1, 0.5)).toBe(1);
});
