import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantizedBytes } from '../../kernels/sizes.ts';
import { kernelBed } from '../../kernels/testing/kernel-bed.ts';
import {
  product,
  putMatrix,
  quantisedMatrix,
  relativeDifference,
  roundActivations,
} from '../../kernels/testing/quantised-matrix.ts';
import { widensVectors } from '../../kernels/wide-vectors.ts';
import { type BlockFormat, type BlockQuantized, dequantizeBlocks, quantizeBlocks } from '../quantize.ts';
import { randomNumbers } from '../testing/tiny-model.ts';
import { columnsOf, ProductKind, unitsOf } from './product-kind.ts';
import { allocateProducts, productsAreExact } from './product-scratch.ts';
import { QuantizedProducts } from './quantized-products.ts';

const bed = kernelBed();
const { kernels, memory } = bed;
const MOST_ROWS = 80;
const newProducts = (inputSize: number, rows: number, whole: boolean): QuantizedProducts =>
  new QuantizedProducts(kernels, memory.memory, allocateProducts(memory, inputSize, rows, whole));
const alone = newProducts(400, MOST_ROWS, false);
const helped = newProducts(400, MOST_ROWS, productsAreExact());
const BYTES = { bits: 8, blockSize: 32, zeroPoints: false, perRow: true } as const;

/** Who can multiply a matrix on this machine. */
function kindsOf({ bits, perRow }: BlockFormat): ProductKind[] {
  const [bytes, int4] = productsAreExact() ? [[ProductKind.wholeBytes], [ProductKind.wholeInt4]] : [[], []];
  if (perRow) return [ProductKind.bytes, ...bytes];
  return bits === 8 ? [ProductKind.int8] : [ProductKind.int4, ProductKind.wovenInt4, ...int4];
}

/** `[rows, n]` of a matrix `[n, k]` at `weights` and rows at `source`, with offsets as tasks pass them. */
function productOf(
  products: QuantizedProducts,
  matrix: BlockQuantized,
  weights: number,
  source: number,
  rows: number,
  kind: number = products.kindOf(matrix.format, matrix.inputSize, matrix.outputSize, rows),
): Float32Array {
  const { inputSize: k, outputSize: n } = matrix;
  const { blockSize } = matrix.format;
  const quantised = memory.allocate(quantizedBytes(rows, k, blockSize));
  const output = bed.room(rows * n);
  products.quantize(kind, source, rows, k, blockSize, quantised);
  const units = unitsOf(kind, n);
  products.linear(kind, weights | 0, k, blockSize, 0, units, quantised | 0, rows, output | 0, n);
  return memory.floats(output, rows * n);
}

const cases = fc.record({
  rows: fc.integer({ min: 1, max: MOST_ROWS }),
  n: fc.integer({ min: 1, max: 150 }).map((eights) => 8 * eights),
  k: fc.integer({ min: 1, max: 100 }).map((fours) => 4 * fours),
  blockSize: fc.constantFrom(32, 64, 128),
  format: fc.constantFrom<Omit<BlockFormat, 'blockSize'>>(
    { bits: 4, zeroPoints: true },
    { bits: 4, zeroPoints: false },
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
      const [expected, ...others] = kindsOf(matrix.format).map((kind) =>
        productOf(helped, matrix, weights, source, rows, kind),
      );
      for (const actual of others) expect(actual).toEqual(expected);
    }),
    { numRuns: 40 },
  );
});

test.each([false, true])('sums as large as they can be are exact; zero points: %s', (zeroPoints) => {
  const [rows, n, k] = [5, 24, 192];
  const matrix = quantizeBlocks(new Float32Array(n * k).fill(-1), n, k, {
    bits: 4,
    blockSize: 32,
    zeroPoints,
  });
  const numbers = new Float32Array(rows * k).map((_, index) => (index < 2 * k ? 1 : -1));
  const expected = product(numbers, dequantizeBlocks(matrix), k);
  const [weights, source] = [putMatrix(bed, matrix), bed.put(numbers)];
  for (const kind of kindsOf(matrix.format)) {
    const actual = productOf(helped, matrix, weights, source, rows, kind);
    expect(relativeDifference(actual, expected)).toBeLessThan(1e-6);
  }
});

test('panels of bytes give what the numbers that they stand for do', () => {
  fc.assert(
    fc.property(cases, ({ rows, n, k, seed }) => {
      const matrix = quantisedMatrix(n, k, BYTES, seed);
      const numbers = randomNumbers(rows * k, seed + 1);
      const actual = productOf(helped, matrix, putMatrix(bed, matrix), bed.put(numbers), rows);
      const expected = product(roundActivations(numbers, k), dequantizeBlocks(matrix), k);
      expect(relativeDifference(actual, expected)).toBeLessThan(1e-5);
    }),
    { numRuns: 40 },
  );
});

test.runIf(productsAreExact())('from enough rows on, what can be bytes is multiplied as a whole', () => {
  const int4 = { bits: 4, blockSize: 32, zeroPoints: true } as const;
  const { bytes, wholeBytes, wovenInt4, wholeInt4 } = ProductKind;
  const [fewBytes, fewInt4, manyInt4] = widensVectors() ? [6, 15, wovenInt4] : [2, 19, wholeInt4];
  const ofBytes = [1, fewBytes!, fewBytes! + 1, 64].map((rows) => helped.kindOf(BYTES, 1_024, 512, rows));
  expect(ofBytes).toEqual([bytes, bytes, wholeBytes, wholeBytes]);
  const ofInt4 = [1, fewInt4!, fewInt4! + 1, 512].map((rows) => helped.kindOf(int4, 1_024, 512, rows));
  expect(ofInt4).toEqual([ProductKind.int4, ProductKind.int4, manyInt4, manyInt4]);
  // A call costs more than the products of a small matrix.
  const ofSmall = [8, 18, 19].map((rows) => helped.kindOf(BYTES, 192, 192, rows));
  expect(ofSmall).toEqual([bytes, bytes, wholeBytes]);
  expect(helped.kindOf({ bits: 8, blockSize: 32, zeroPoints: false }, 1_024, 512, 64)).toBe(ProductKind.int8);
  expect(alone.kindOf(BYTES, 1_024, 512, 64)).toBe(bytes);
  expect(alone.kindOf(int4, 1_024, 512, 512)).toBe(widensVectors() ? wovenInt4 : ProductKind.int4);
});

// Of int4 and 1000 inputs, not all columns are spread at once; with 8320, not even a cache line of them fills the usual memory, and
// rows are taken in two turns.
test.each([
  [1_000, BYTES],
  [1_000, { bits: 4, blockSize: 128, zeroPoints: true } as const],
  [8_320, { bits: 4, blockSize: 32, zeroPoints: true } as const],
])('matrices of %d inputs too: %o', (k, format) => {
  const [rows, n] = [61, 1_040];
  const matrix = quantisedMatrix(n, k, format, 7);
  const weights = putMatrix(bed, matrix);
  const source = bed.put(randomNumbers(rows * k, 8));
  const products = newProducts(k, rows, productsAreExact());
  const [expected, ...others] = kindsOf(format).map((kind) =>
    productOf(products, matrix, weights, source, rows, kind),
  );
  for (const actual of others) expect(actual).toEqual(expected);
});

test('activations may lie at 2 GiB and beyond, of which tasks tell by negative numbers', () => {
  const [rows, n, k] = [48, 64, 96];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const source = bed.put(randomNumbers(rows * k, 2));
  const expected = productOf(alone, matrix, weights, source, rows, ProductKind.int4);
  // Pages that nobody touches cost nothing.
  memory.allocate(2 ** 31);
  const far = newProducts(k, rows, productsAreExact());
  for (const kind of kindsOf(matrix.format)) {
    expect(productOf(far, matrix, weights, source, rows, kind)).toEqual(expected);
  }
});

test('a part of the tiles is written and nothing else', () => {
  const [rows, n, k] = [48, 64, 96];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const quantised = memory.allocate(quantizedBytes(rows, k, 32));
  const source = bed.put(randomNumbers(rows * k, 2));
  for (const kind of kindsOf(matrix.format)) {
    helped.quantize(kind, source, rows, k, 32, quantised);
    const [whole, part] = [bed.room(rows * n), bed.room(rows * n)];
    const columns = columnsOf(kind);
    helped.linear(kind, weights, k, 32, 0, unitsOf(kind, n), quantised, rows, whole, n);
    helped.linear(kind, weights, k, 32, 16 / columns, 48 / columns, quantised, rows, part, n);
    const expected = memory
      .floats(whole, rows * n)
      .map((value, index) => (index % n >= 16 && index % n < 48 ? value : Number.NaN));
    expect(memory.floats(part, rows * n)).toEqual(expected);
  }
});
