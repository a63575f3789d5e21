import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BlockFormat, type BlockQuantized, quantizeBlocks } from '../runtime/quantize.ts';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { packTile8, tile8Bytes, unpackTile8 } from './tile8.ts';

const formats: fc.Arbitrary<BlockFormat> = fc.record({
  bits: fc.constantFrom(4, 8),
  blockSize: fc.constantFrom(32, 64, 128),
  zeroPoints: fc.boolean(),
});

function quantized(n: number, k: number, format: BlockFormat, seed = 1): BlockQuantized {
  return quantizeBlocks(randomNumbers(n * k, seed), n, k, format);
}

describe('packTile8 and unpackTile8', () => {
  test('give back the same matrix, whatever its size and format', () => {
    const size = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(formats, fc.integer({ min: 1, max: 30 }), size, fc.integer(), (format, n, k, seed) => {
        const matrix = quantized(n, k, format, seed);
        const packed = new Uint8Array(tile8Bytes(n, k, format)).fill(0xee);
        packTile8(matrix, packed);
        expect(unpackTile8(packed, n, k, format)).toStrictEqual(matrix);
      }),
      { numRuns: 100 },
    );
  });

  test('take a longer buffer and leave its end alone', () => {
    const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const size = tile8Bytes(8, 32, format);
    const packed = new Uint8Array(size + 5).fill(7);
    packTile8(quantized(8, 32, format), packed);
    expect([...packed.subarray(size)]).toEqual([7, 7, 7, 7, 7]);
  });

  test('pad rows and inputs to whole tiles and blocks', () => {
    const int4 = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const int8 = { bits: 8, blockSize: 128, zeroPoints: true } as const;
    expect(tile8Bytes(8, 32, int4)).toBe(8 * 16 + 32 + 32);
    expect(tile8Bytes(9, 33, int4)).toBe(2 * (2 * (8 * 16 + 32) + 32));
    expect(tile8Bytes(8, 128, int8)).toBe(8 * 128 + 32 + 32);
  });

  test("keep the order that packed files have: codes by four inputs, steps and zero points twice, rows' scales last", () => {
    const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const matrix = quantized(8, 32, format);
    matrix.codes.fill(0);
    matrix.codes[2 * 16] = 0x51; // row 2: inputs 0 and 1
    matrix.codes[6 * 16 + 2] = 0x09; // row 6: input 4
    matrix.steps.set([1, 2, 3, 4, 5, 6, 7, 8]);
    matrix.rowScales.set([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]);
    matrix.zeroPoints!.set([0, 1, 2, 3, 4, 5, 6, 7]);
    const packed = new Uint8Array(tile8Bytes(8, 32, format));
    packTile8(matrix, packed);
    expect([packed[8], packed[9], packed[16 + 8]]).toEqual([0x01, 0x05, 0x90]);
    expect([...packed.subarray(128, 144)]).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8]);
    expect([...packed.subarray(144, 160)]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    expect([...new Float32Array(packed.buffer, 160, 8)]).toEqual([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]);
  });

  test('refuse a buffer that is too small, naming the sizes', () => {
    const format = { bits: 8, blockSize: 32, zeroPoints: false } as const;
    const short = new Uint8Array(tile8Bytes(8, 32, format) - 1);
    expect(() => packTile8(quantized(8, 32, format), short)).toThrow(/takes 320 bytes.*target has 319/);
    expect(() => unpackTile8(short, 8, 32, format)).toThrow(/takes 320 bytes.*source has 319/);
  });

  test('refuse block sizes that the kernels do not have', () => {
    expect(() => tile8Bytes(8, 32, { bits: 4, blockSize: 16, zeroPoints: true })).toThrow(/block size 16/);
  });
});
