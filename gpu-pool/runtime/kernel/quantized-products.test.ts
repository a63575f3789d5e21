import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantizedBytes } from '../../kernels/kernels.ts';
import { kernelBed } from '../../kernels/testing/kernel-bed.ts';
import { putMatrix, quantisedMatrix, tilesOf } from '../../kernels/testing/quantised-matrix.ts';
import { randomNumbers } from '../testing/tiny-model.ts';
import { allocateProducts, productsAreExact, QuantizedProducts } from './quantized-products.ts';

const bed = kernelBed();
const { kernels, memory } = bed;
const MOST_ROWS = 80;
const alone = new QuantizedProducts(kernels, memory.memory, null);
const helped = new QuantizedProducts(
  kernels,
  memory.memory,
  productsAreExact() ? allocateProducts(memory, 400, MOST_ROWS) : null,
);

const cases = fc.record({
  rows: fc.integer({ min: 1, max: MOST_ROWS }),
  n: fc.integer({ min: 1, max: 150 }).map((eights) => 8 * eights),
  k: fc.integer({ min: 1, max: 100 }).map((fours) => 4 * fours),
  blockSize: fc.constantFrom(32, 64, 128),
  bits: fc.constantFrom(4 as const, 8 as const),
  seed: fc.integer(),
});

test('many rows give the same bits as few, whoever multiplies', () => {
  fc.assert(
    fc.property(cases, ({ rows, n, k, blockSize, bits, seed }) => {
      const matrix = quantisedMatrix(n, k, { bits, blockSize, zeroPoints: true }, seed);
      const weights = putMatrix(bed, matrix);
      const source = bed.put(randomNumbers(rows * k, seed + 1));
      const results = [alone, helped].map((products) => {
        const quantised = memory.allocate(quantizedBytes(rows, k, blockSize));
        const output = bed.room(rows * n);
        products.quantize(bits, source, rows, k, blockSize, quantised);
        products.linear(bits, weights, k, blockSize, 0, tilesOf(matrix), quantised, rows, output, n);
        return memory.floats(output, rows * n);
      });
      expect(results[1]).toEqual(results[0]);
    }),
    { numRuns: 40 },
  );
});

test('a part of the tiles is written and nothing else', () => {
  const [rows, n, k] = [20, 64, 96];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const quantised = memory.allocate(quantizedBytes(rows, k, 32));
  helped.quantize(4, bed.put(randomNumbers(rows * k, 2)), rows, k, 32, quantised);
  const [whole, part] = [bed.room(rows * n), bed.room(rows * n)];
  helped.linear(4, weights, k, 32, 0, 8, quantised, rows, whole, n);
  helped.linear(4, weights, k, 32, 2, 5, quantised, rows, part, n);
  const expected = memory
    .floats(whole, rows * n)
    .map((value, index) => (index % n >= 16 && index % n < 40 ? value : Number.NaN));
  expect(memory.floats(part, rows * n)).toEqual(expected);
});

test('the gated half of an expert gives the same bits too', () => {
  const [rows, n, k] = [33, 96, 192];
  const [gate, up] = [3, 4].map((seed) =>
    putMatrix(bed, quantisedMatrix(n, k, { bits: 4, blockSize: 64, zeroPoints: true }, seed)),
  );
  const source = bed.put(randomNumbers(rows * k, 5));
  const results = [alone, helped].map((products) => {
    const quantised = memory.allocate(quantizedBytes(rows, k, 64));
    const output = bed.room(rows * n);
    products.quantize(4, source, rows, k, 64, quantised);
    products.gateUp(4, gate!, up!, k, 64, n / 8, quantised, rows, output);
    return memory.floats(output, rows * n);
  });
  expect(results[1]).toEqual(results[0]);
});
