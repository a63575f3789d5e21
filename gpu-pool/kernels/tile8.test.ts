import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BlockFormat, type BlockQuantized, quantizeBlocks } from '../runtime/quantize.ts';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { packTile8, roundScaleUpToBfloat16, tile8Bytes, unpackTile8 } from './tile8.ts';

const formats: fc.Arbitrary<BlockFormat> = fc.record({
  bits: fc.constantFrom(4, 8),
  blockSize: fc.constantFrom(32, 64, 128),
  zeroPoints: fc.boolean(),
});

function quantized(n: number, k: number, format: BlockFormat, seed = 1): BlockQuantized {
  const result = quantizeBlocks(randomNumbers(n * k, seed), n, k, format);
  result.scales.forEach((scale, index) => {
    result.scales[index] = roundScaleUpToBfloat16(scale);
  });
  return result;
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
    expect(tile8Bytes(8, 32, int4)).toBe(8 * 16 + 32);
    expect(tile8Bytes(9, 33, int4)).toBe(4 * (8 * 16 + 32));
    expect(tile8Bytes(8, 128, int8)).toBe(8 * 128 + 32);
  });

  test('keep the order that packed files have: codes by four inputs, scales by pairs of rows, zero points twice', () => {
    const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const matrix = quantized(8, 32, format);
    matrix.codes.fill(0);
    matrix.codes[2 * 16] = 0x51; // row 2: inputs 0 and 1
    matrix.codes[6 * 16 + 2] = 0x09; // row 6: input 4
    matrix.scales.set([1, 2, 3, 4, -1, -2, -3, -4]);
    matrix.zeroPoints!.set([0, 1, 2, 3, 4, 5, 6, 7]);
    const packed = new Uint8Array(tile8Bytes(8, 32, format));
    packTile8(matrix, packed);
    expect([packed[8], packed[9], packed[16 + 8]]).toEqual([0x01, 0x05, 0x90]);
    const scales = new Uint16Array(packed.buffer, 128, 8);
    expect([...scales]).toEqual([0x3f80, 0xbf80, 0x4000, 0xc000, 0x4040, 0xc040, 0x4080, 0xc080]);
    expect([...packed.subarray(144, 160)]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
  });

  test('refuse a buffer that is too small, naming the sizes', () => {
    const format = { bits: 8, blockSize: 32, zeroPoints: false } as const;
    const short = new Uint8Array(tile8Bytes(8, 32, format) - 1);
    expect(() => packTile8(quantized(8, 32, format), short)).toThrow(/takes 288 bytes.*target has 287/);
    expect(() => unpackTile8(short, 8, 32, format)).toThrow(/takes 288 bytes.*source has 287/);
  });

  test('refuse block sizes that the kernels do not have', () => {
    expect(() => tile8Bytes(8, 32, { bits: 4, blockSize: 16, zeroPoints: true })).toThrow(/block size 16/);
  });

  test('refuse scales that bfloat16 cannot hold, naming the row', () => {
    const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
    const matrix = quantized(3, 32, format);
    matrix.scales[2] = 1.001;
    const packed = new Uint8Array(tile8Bytes(3, 32, format));
    expect(() => packTile8(matrix, packed)).toThrow(/row 2, block 0/);
  });
});

describe('roundScaleUpToBfloat16', () => {
  test('gives the nearest bfloat16 that is not smaller in magnitude', () => {
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 });
    fc.assert(
      fc.property(finite, (scale) => {
        const rounded = roundScaleUpToBfloat16(scale);
        const bits = new Uint32Array(Float32Array.of(rounded).buffer)[0]!;
        expect(bits & 0xffff).toBe(0);
        expect(Math.abs(rounded)).toBeGreaterThanOrEqual(Math.abs(scale));
        const below = new Float32Array(Uint32Array.of(bits - 0x1_0000).buffer)[0]!;
        if (rounded !== scale) expect(Math.abs(below)).toBeLessThan(Math.abs(scale));
      }),
    );
  });

  test('leaves zero, infinity and NaN as they are', () => {
    expect(roundScaleUpToBfloat16(0)).toBe(0);
    expect(roundScaleUpToBfloat16(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
    expect(roundScaleUpToBfloat16(Number.NaN)).toBeNaN();
  });
});
