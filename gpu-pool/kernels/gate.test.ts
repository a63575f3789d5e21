import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { kernelBed } from './testing/kernel-bed.ts';

const bed = kernelBed();

function gate(gates: Float32Array, values: Float32Array): Float32Array {
  const target = bed.put(values);
  bed.kernels.gate(bed.put(gates), target, values.length);
  return bed.memory.floats(target, values.length);
}

test('multiplies by the SiLU of the gates', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.integer(), (eights, seed) => {
      const gates = randomNumbers(8 * eights, seed).map((value) => 8 * value);
      const values = randomNumbers(8 * eights, seed + 1);
      const actual = gate(gates, values);
      gates.forEach((value, index) => {
        const expected = (value / (1 + Math.exp(-value))) * values[index]!;
        expect(Math.abs(actual[index]! - expected)).toBeLessThanOrEqual(1e-6 * Math.abs(expected) + 1e-30);
      });
    }),
    { numRuns: 30 },
  );
});

test('survives gates whose exponential overflows, and keeps what is not a number', () => {
  const gates = Float32Array.of(-1e4, -89, 0, 89, 1e4, Number.NaN, 1, Number.POSITIVE_INFINITY);
  const actual = gate(gates, new Float32Array(8).fill(2));
  expect([...actual]).toEqual([
    ...[expect.closeTo(0), expect.closeTo(0), 0, 178, 2e4],
    ...[Number.NaN, expect.closeTo(2 / (1 + Math.exp(-1))), Number.POSITIVE_INFINITY],
  ]);
});
