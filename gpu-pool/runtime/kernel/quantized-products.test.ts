import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantizedBytes } from '../../kernels/kernels.ts';
import { kernelBed } from '../../kernels/testing/kernel-bed.ts';
import { putMatrix, quantisedMatrix, tilesOf } from '../../kernels/testing/quantised-matrix.ts';
import type { BlockFormat, BlockQuantized } from '../quantize.ts';
import { randomNumbers } from '../testing/tiny-model.ts';
import { allocateProducts, ProductKind, productsAreExact, QuantizedProducts } from './quantized-products.ts';

const bed = kernelBed();
const { kernels, memory } = bed;
const MOST_ROWS = 80;
const alone = new QuantizedProducts(kernels, memory.memory, null);
const helped = new QuantizedProducts(
  kernels,
  memory.memory,
  productsAreExact() ? allocateProducts(memory, 400, MOST_ROWS) : null,
);

/** `[rows, n]` of a matrix `[n, k]` at `weights` and rows at `source`, with offsets as tasks pass them. */
function productOf(
  products: QuantizedProducts,
  matrix: BlockQuantized,
  weights: number,
  source: number,
  rows: number,
): Float32Array {
  const { inputSize: k, outputSize: n, format } = matrix;
  const { blockSize } = format;
  const quantised = memory.allocate(quantizedBytes(rows, k, blockSize));
  const output = bed.room(rows * n);
  const kind = products.kindOf(format, rows);
  products.quantize(kind, source, rows, k, blockSize, quantised);
  products.linear(kind, weights | 0, k, blockSize, 0, tilesOf(matrix), quantised | 0, rows, output | 0, n);
  return memory.floats(output, rows * n);
}

const cases = fc.record({
  rows: fc.integer({ min: 1, max: MOST_ROWS }),
  n: fc.integer({ min: 1, max: 150 }).map((eights) => 8 * eights),
  k: fc.integer({ min: 1, max: 100 }).map((fours) => 4 * fours),
  blockSize: fc.constantFrom(32, 64, 128),
  format: fc.constantFrom<Omit<BlockFormat, 'blockSize'>>(
    { bits: 4, zeroPoints: true },
    { bits: 8, zeroPoints: true },
    { bits: 8, zeroPoints: false, perRow: true },
  ),
  seed: fc.integer(),
});

test('many rows give the same bits as few, whoever multiplies', () => {
  fc.assert(
    fc.property(cases, ({ rows, n, k, blockSize, format, seed }) => {
      const matrix = quantisedMatrix(n, k, { ...format, blockSize }, seed);
      const weights = putMatrix(bed, matrix);
      const source = bed.put(randomNumbers(rows * k, seed + 1));
      const results = [alone, helped].map((products) => productOf(products, matrix, weights, source, rows));
      expect(results[1]).toEqual(results[0]);
    }),
    { numRuns: 40 },
  );
});

test.runIf(productsAreExact())('from enough rows on, what can be spread is multiplied as a whole', () => {
  const bytes = { bits: 8, blockSize: 32, zeroPoints: false, perRow: true } as const;
  const int4 = { bits: 4, blockSize: 32, zeroPoints: true } as const;
  expect([1, 3, 4, 64].map((rows) => helped.kindOf(bytes, rows))).toEqual([
    ...[ProductKind.int8, ProductKind.int8],
    ...[ProductKind.wholeInt8, ProductKind.wholeInt8],
  ]);
  expect([1, 19, 20].map((rows) => helped.kindOf(int4, rows))).toEqual([
    ...[ProductKind.int4, ProductKind.int4],
    ProductKind.wholeInt4,
  ]);
  expect(helped.kindOf({ bits: 8, blockSize: 32, zeroPoints: false }, 64)).toBe(ProductKind.int8);
  expect(alone.kindOf(bytes, 64)).toBe(ProductKind.int8);
});

// Of the first, not all columns are spread at once; for the second, not even a cache line of them fills the memory made for it.
test.each([1_000, 8_320])('matrices of %d inputs too', (k) => {
  const [rows, n] = [21, 1_040];
  const format = { bits: 8, blockSize: 128, zeroPoints: false, perRow: true } as const;
  const matrix = quantisedMatrix(n, k, format, 7);
  const weights = putMatrix(bed, matrix);
  const source = bed.put(randomNumbers(rows * k, 8));
  const wide = new QuantizedProducts(
    kernels,
    memory.memory,
    productsAreExact() ? allocateProducts(memory, k, rows) : null,
  );
  const results = [alone, wide].map((products) => productOf(products, matrix, weights, source, rows));
  expect(results[1]).toEqual(results[0]);
});

test('activations may lie at 2 GiB and beyond, of which tasks tell by negative numbers', () => {
  const [rows, n, k] = [24, 64, 96];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const source = bed.put(randomNumbers(rows * k, 2));
  const expected = productOf(alone, matrix, weights, source, rows);
  // Pages that nobody touches cost nothing.
  memory.allocate(2 ** 31);
  const far = new QuantizedProducts(
    kernels,
    memory.memory,
    productsAreExact() ? allocateProducts(memory, k, rows) : null,
  );
  expect(productOf(far, matrix, weights, source, rows)).toEqual(expected);
});

test('a part of the tiles is written and nothing else', () => {
  const [rows, n, k] = [20, 64, 96];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const quantised = memory.allocate(quantizedBytes(rows, k, 32));
  const kind = helped.kindOf(matrix.format, rows);
  helped.quantize(kind, bed.put(randomNumbers(rows * k, 2)), rows, k, 32, quantised);
  const [whole, part] = [bed.room(rows * n), bed.room(rows * n)];
  helped.linear(kind, weights, k, 32, 0, 8, quantised, rows, whole, n);
  helped.linear(kind, weights, k, 32, 2, 5, quantised, rows, part, n);
  const expected = memory
    .floats(whole, rows * n)
    .map((value, index) => (index % n >= 16 && index % n < 40 ? value : Number.NaN));
  expect(memory.floats(part, rows * n)).toEqual(expected);
});

test.each([
  { bits: 4, blockSize: 64, zeroPoints: true } as const,
  { bits: 8, blockSize: 64, zeroPoints: false, perRow: true } as const,
])('the gated half of an expert gives the same bits too: %o', (format) => {
  const [rows, n, k] = [33, 96, 192];
  const [gate, up] = [3, 4].map((seed) => putMatrix(bed, quantisedMatrix(n, k, format, seed)));
  const source = bed.put(randomNumbers(rows * k, 5));
  const results = [alone, helped].map((products) => {
    const quantised = memory.allocate(quantizedBytes(rows, k, 64));
    const output = bed.room(rows * n);
    const kind = products.kindOf(format, rows);
    products.quantize(kind, source, rows, k, 64, quantised);
    products.gateUp(kind, gate!, up!, k, 64, n / 8, quantised, rows, output);
    return memory.floats(output, rows * n);
  });
  expect(results[1]).toEqual(results[0]);
});
