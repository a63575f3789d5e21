import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ModelBuilder, OMITTED } from '../runtime/onnx/model-builder.ts';
import { type BlockFormat, type BlockQuantized, blockScales, dequantizeBlocks } from '../runtime/quantize.ts';
import { GraphSession, view } from '../runtime/session.ts';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { quantizedBytes } from './sizes.ts';
import { kernelBed } from './testing/kernel-bed.ts';
import type { LinearTask } from './testing/linear-thread.ts';
import {
  product,
  putMatrix,
  quantisedMatrix,
  relativeDifference,
  roundActivations,
  tilesOf,
} from './testing/quantised-matrix.ts';

const bed = kernelBed();
const { kernels, memory } = bed;
const widths = [4, 8] as const;

interface Case {
  readonly rows: number;
  readonly n: number;
  readonly k: number;
  readonly format: BlockFormat;
  readonly seed: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  rows: fc.integer({ min: 1, max: 70 }),
  n: fc.integer({ min: 1, max: 33 }),
  k: fc.integer({ min: 1, max: 100 }).map((fours) => 4 * fours),
  format: fc.record({
    bits: fc.constantFrom(...widths),
    blockSize: fc.constantFrom(32, 64, 128),
    zeroPoints: fc.boolean(),
  }),
  seed: fc.integer(),
});

/** Quantises `[rows, k]` activations into the memory. */
function putActivations(activations: Float32Array, k: number, blockSize: number): number {
  const rows = activations.length / k;
  const target = memory.allocate(quantizedBytes(rows, k, blockSize));
  kernels.quantizeRows(bed.put(activations), k, rows, k, blockSize, target);
  return target;
}

/** The first `n` columns of rows that are padded to whole tiles. */
function readRows(offset: number, rows: number, stride: number, n: number): Float32Array {
  const result = new Float32Array(rows * n);
  for (let row = 0; row < rows; row += 1) result.set(memory.floats(offset + 4 * row * stride, n), row * n);
  return result;
}

function linear(matrix: BlockQuantized, activations: Float32Array): Float32Array {
  const { inputSize: k, outputSize: n, format } = matrix;
  const rows = activations.length / k;
  const stride = 8 * tilesOf(matrix);
  const output = bed.room(rows * stride);
  const quantised = putActivations(activations, k, format.blockSize);
  const weights = putMatrix(bed, matrix);
  kernels.linear(
    format.bits,
    weights,
    k,
    format.blockSize,
    0,
    tilesOf(matrix),
    quantised,
    rows,
    output,
    stride,
  );
  return readRows(output, rows, stride, n);
}

describe('linear', () => {
  test('multiplies rounded weights with rounded activations, exactly but for the last scaling', () => {
    fc.assert(
      fc.property(cases, ({ rows, n, k, format, seed }) => {
        const matrix = quantisedMatrix(n, k, format, seed);
        const activations = randomNumbers(rows * k, seed + 1);
        const expected = product(roundActivations(activations, k), dequantizeBlocks(matrix), k);
        expect(relativeDifference(linear(matrix, activations), expected)).toBeLessThan(1e-6);
      }),
      { numRuns: 60 },
    );
  });

  test('is close to the product with unrounded activations', () => {
    for (const bits of widths) {
      const matrix = quantisedMatrix(64, 512, { bits, blockSize: 32, zeroPoints: true }, 3);
      const activations = randomNumbers(5 * 512, 4);
      const expected = product(activations, dequantizeBlocks(matrix), 512);
      expect(relativeDifference(linear(matrix, activations), expected)).toBeLessThan(0.03);
    }
  });

  test('computes a row alone as it computes it among others, bit for bit', () => {
    fc.assert(
      fc.property(cases, ({ rows, n, k, format, seed }) => {
        const matrix = quantisedMatrix(n, k, format, seed);
        const activations = randomNumbers(rows * k, seed + 1);
        const together = linear(matrix, activations);
        for (const row of [0, rows >> 1, rows - 1]) {
          const alone = linear(matrix, activations.slice(row * k, (row + 1) * k));
          expect(together.slice(row * n, (row + 1) * n)).toEqual(alone);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('gives the same bits with the wide dot product and without', () => {
    fc.assert(
      fc.property(cases, ({ rows, n, k, format, seed }) => {
        const matrix = quantisedMatrix(n, k, format, seed);
        // Beyond 127 the wide one is wrong on many machines, which therefore do not take it.
        matrix.codes.forEach((code, index) => {
          matrix.codes[index] = format.bits === 8 ? code & 127 : code;
        });
        const activations = randomNumbers(rows * k, seed + 1);
        const chosen = kernels.wideDot.value;
        const outputs = [0, 1].map((wide) => {
          kernels.wideDot.value = wide;
          return linear(matrix, activations);
        });
        kernels.wideDot.value = chosen;
        expect(outputs[0]).toEqual(outputs[1]);
      }),
      { numRuns: 40 },
    );
  });

  test('writes the tiles it is asked for and nothing else', () => {
    const format = { bits: 4, blockSize: 64, zeroPoints: true } as const;
    const matrix = quantisedMatrix(40, 64, format, 5);
    const activations = randomNumbers(3 * 64, 6);
    const whole = linear(matrix, activations);
    const output = bed.room(3 * 40);
    const quantised = putActivations(activations, 64, 64);
    kernels.linear(4, putMatrix(bed, matrix), 64, 64, 1, 3, quantised, 3, output, 40);
    const expected = whole.map((value, index) => (index % 40 >= 8 && index % 40 < 24 ? value : Number.NaN));
    expect(readRows(output, 3, 40, 40)).toEqual(expected);
  });

  test('gives padding rows of the last tile zero outputs', () => {
    const matrix = quantisedMatrix(3, 32, { bits: 4, blockSize: 32, zeroPoints: false }, 5);
    const output = bed.room(8);
    const quantised = putActivations(randomNumbers(32, 6), 32, 32);
    kernels.linear(4, putMatrix(bed, matrix), 32, 32, 0, 1, quantised, 1, output, 8);
    expect([...memory.floats(output + 12, 5)]).toEqual([0, 0, 0, 0, 0]);
  });

  test('lets NaN and infinite activations show in their row, and only there', () => {
    const matrix = quantisedMatrix(8, 32, { bits: 4, blockSize: 32, zeroPoints: true }, 5);
    const activations = randomNumbers(3 * 32, 6);
    activations[5] = Number.NaN;
    activations[64 + 5] = Number.POSITIVE_INFINITY;
    const output = linear(matrix, activations);
    expect([...output.subarray(0, 8), ...output.subarray(16)].some(Number.isFinite)).toBe(false);
    expect(output.subarray(8, 16).every(Number.isFinite)).toBe(true);
  });

  test('agrees with ONNX Runtime on the same codes', () => {
    for (const bits of widths) {
      for (const [rows, n, k] of [
        [1, 24, 96],
        [6, 40, 256],
        [33, 16, 72],
      ] as const) {
        const matrix = quantisedMatrix(n, k, { bits, blockSize: 32, zeroPoints: true }, rows);
        const activations = randomNumbers(rows * k, 7);
        const expected = matMulNBits(matrix, activations);
        // It rounds activations block by block, not row by row.
        expect(relativeDifference(linear(matrix, activations), expected)).toBeLessThan(0.03);
      }
    }
  });

  test('is shared out among threads that work on one memory', async () => {
    const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const matrix = quantisedMatrix(512, 256, format, 8);
    const activations = randomNumbers(7 * 256, 9);
    const alone = linear(matrix, activations);
    const output = bed.room(7 * 512);
    const quantised = putActivations(activations, 256, 32);
    const weights = putMatrix(bed, matrix);
    const share = async (tileBegin: number, tileEnd: number): Promise<void> => {
      const task: LinearTask = {
        memory: memory.memory,
        module: bed.module,
        parameters: [4, weights, 256, 32, tileBegin, tileEnd, quantised, 7, output, 512],
      };
      const worker = new Worker(new URL('./testing/linear-thread.ts', import.meta.url), { workerData: task });
      await once(worker, 'message');
      await worker.terminate();
    };
    await Promise.all([share(0, 23), share(23, 64)]);
    expect(readRows(output, 7, 512, 512)).toEqual(alone);
  });
});

describe('quantizeRows', () => {
  test('gives the same bytes when ranges of rows are quantised apart', () => {
    const [rows, k, blockSize] = [11, 96, 64];
    const activations = randomNumbers(rows * k, 1);
    const source = bed.put(activations);
    const size = quantizedBytes(rows, k, blockSize);
    const rowSize = quantizedBytes(1, k, blockSize);
    const whole = memory.allocate(size);
    kernels.quantizeRows(source, k, rows, k, blockSize, whole);
    const parts = memory.allocate(size);
    kernels.quantizeRows(source + 4 * 8 * k, k, 3, k, blockSize, parts + 8 * rowSize);
    kernels.quantizeRows(source, k, 8, k, blockSize, parts);
    expect(memory.bytes(parts, size)).toEqual(memory.bytes(whole, size));
  });

  test('reads rows that lie further apart than they are long', () => {
    const wide = randomNumbers(3 * 50, 1);
    const narrow = new Float32Array(3 * 40);
    for (let row = 0; row < 3; row += 1) narrow.set(wide.subarray(row * 50, row * 50 + 40), row * 40);
    const size = quantizedBytes(3, 40, 32);
    const [a, b] = [memory.allocate(size), memory.allocate(size)];
    kernels.quantizeRows(bed.put(wide), 50, 3, 40, 32, a);
    kernels.quantizeRows(bed.put(narrow), 40, 3, 40, 32, b);
    expect(memory.bytes(a, size)).toEqual(memory.bytes(b, size));
  });
});

/** The same product by ONNX Runtime, which rounds activations to int8 per block. */
function matMulNBits(matrix: BlockQuantized, activations: Float32Array): Float32Array {
  const { outputSize: n, inputSize: k, format, codes, zeroPoints } = matrix;
  const { bits, blockSize } = format;
  const blocks = Math.ceil(k / blockSize);
  const builder = new ModelBuilder('matrix');
  builder.input('x', 'float32', ['T', k]);
  builder.node(
    'MatMulNBits',
    [
      'x',
      builder.constant('uint8', [n, blocks, (blockSize * bits) / 8], codes),
      builder.constant('float32', [n, blocks], blockScales(matrix)),
      zeroPoints === undefined
        ? OMITTED
        : builder.constant('uint8', [n, Math.ceil((blocks * bits) / 8)], zeroPoints),
    ],
    { N: n, K: k, bits, block_size: blockSize, accuracy_level: 4 },
    'com.microsoft',
    'y',
  );
  builder.output('y', 'float32', ['T', n]);
  const session = GraphSession.create('matrix', builder.build());
  const rows = activations.length / k;
  const output = new Float32Array(rows * n);
  session.run({ x: view(activations, rows, k) }, { y: view(output, rows, n) });
  session.release();
  return output;
}
