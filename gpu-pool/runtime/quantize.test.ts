import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linear } from './graphs/linear.ts';
import { ModelBuilder } from './onnx/model-builder.ts';
import { type BlockFormat, dequantizeBlocks, quantizeBlocks } from './quantize.ts';
import { GraphSession, view } from './session.ts';
import { largestDifference, linearRow, toRows } from './testing/reference-math.ts';
import { randomNumbers } from './testing/tiny-model.ts';

const formats: readonly BlockFormat[] = [
  ...([4, 8] as const).flatMap((bits) =>
    [true, false].map((zeroPoints) => ({ bits, zeroPoints, blockSize: 16 })),
  ),
  { bits: 8, zeroPoints: false, perRow: true, blockSize: 16 },
];
const name = ({ bits, zeroPoints, perRow }: BlockFormat): string =>
  `int${bits} ${zeroPoints ? 'with' : 'without'} zero points${perRow ? ', one scale per row' : ''}`;

describe.each(formats.map((format) => [name(format), format] as const))('%s', (_, format) => {
  test('rounds a row by little more than evenly spaced values up to its largest weight would', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 40 }),
        (seed, n, k) => {
          const weights = randomNumbers(n * k, seed);
          const restored = dequantizeBlocks(quantizeBlocks(weights, n, k, format));
          for (let row = 0; row < n; row += 1) {
            const own = weights.subarray(row * k, (row + 1) * k);
            const largest = Math.max(...own.map(Math.abs));
            const squares = own.reduce((sum, w, i) => sum + (w - restored[row * k + i]!) ** 2, 0);
            const step = largest / (format.bits === 4 ? 7 : 127);
            expect(squares / k).toBeLessThanOrEqual(1.3 * (step / 2) ** 2);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('is a row scale times whole numbers, signed bytes of 4-bit codes and of one scale per row', () => {
    const quantized = quantizeBlocks(randomNumbers(7 * 50, 9), 7, 50, format);
    const restored = dequantizeBlocks(quantized);
    restored.forEach((weight, index) => {
      const units = weight / quantized.rowScales[Math.floor(index / 50)]!;
      expect(Math.abs(units - Math.round(units))).toBeLessThan(1e-3);
      if (format.bits === 4 || format.perRow) expect(Math.abs(units + 0.5)).toBeLessThan(128);
    });
  });

  test('has steps up to the largest that its sums have room for', () => {
    const largest = format.bits === 4 ? 17 : format.perRow ? 1 : 16;
    fc.assert(
      fc.property(fc.float({ min: 2 ** -20, max: 2 ** 20, noNaN: true }), (weight) => {
        const { steps } = quantizeBlocks(Float32Array.of(weight, weight / 3, 0, 0), 1, 4, format);
        expect(Math.max(...steps)).toBeLessThanOrEqual(largest);
      }),
    );
  });

  test('keeps zeros, and blocks of zeros, exactly', () => {
    const weights = randomNumbers(2 * 32, 5);
    weights.fill(0, 0, 16);
    weights[20] = 0;
    const restored = dequantizeBlocks(quantizeBlocks(weights, 2, 32, format));
    expect(largestDifference([...restored.subarray(0, 16), restored[20]!], new Array(17).fill(0))).toBe(0);
  });

  test('is what MatMulNBits computes with, also where the last block is not full', () => {
    const [rows, k, n] = [3, 40, 7];
    const weights = randomNumbers(n * k, 1);
    const input = randomNumbers(rows * k, 2);
    const restored = dequantizeBlocks(quantizeBlocks(weights, n, k, format));
    const expected = toRows(input, k).flatMap((row) => linearRow(row, restored));
    // Activations rounded to int8 err by up to 1/254 of the largest one, in each of k products.
    for (const [accuracyLevel, tolerance] of [
      [1, 1e-5],
      [4, 0.04],
    ] as const) {
      const builder = new ModelBuilder('matrix');
      builder.input('x', 'float32', ['T', k]);
      const layer = { outputSize: n, inputSize: k, weights };
      linear(builder, 'x', layer, { form: 'blocks', accuracyLevel, ...format }, 'y');
      builder.output('y', 'float32', ['T', n]);
      const session = GraphSession.create('matrix', builder.build());
      const y = new Float32Array(rows * n);
      session.run({ x: view(input, rows, k) }, { y: view(y, rows, n) });
      session.release();
      expect(largestDifference(y, expected)).toBeLessThan(tolerance);
    }
  });
});

describe('quantizeBlocks', () => {
  test('refuses block sizes that MatMulNBits does not know', () => {
    for (const blockSize of [8, 24]) {
      const format = { bits: 4, zeroPoints: true, blockSize } as const;
      expect(() => quantizeBlocks(new Float32Array(48), 1, 48, format)).toThrow(/block size/);
    }
  });

  test('refuses one scale per row where codes would not be signed bytes', () => {
    for (const format of [
      { bits: 4, zeroPoints: false, blockSize: 32, perRow: true } as const,
      { bits: 8, zeroPoints: true, blockSize: 32, perRow: true } as const,
    ]) {
      expect(() => quantizeBlocks(new Float32Array(32), 1, 32, format)).toThrow(/one scale per row/);
    }
  });

  test('refuses weights that do not fill the matrix', () => {
    const format = { bits: 8, zeroPoints: true, blockSize: 16 } as const;
    expect(() => quantizeBlocks(new Float32Array(31), 2, 16, format)).toThrow(
      /\[2, 16\] .* 32 weights, got 31/,
    );
  });
});
