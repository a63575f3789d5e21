import { describe, expect, it } from 'vitest';
import { F16, F32, Q4_0, Q8_0, type TensorFormat } from './blocks.ts';

function encode(format: TensorFormat, weights: readonly number[]): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(format.byteLength(weights.length));
  format.encode(Float32Array.from(weights), target);
  return target;
}

const ramp = (from: number, step: number): number[] => Array.from({ length: 32 }, (_, i) => from + step * i);
/** 1.0 and 0.5 as f16, little-endian. */
const ONE = [0x00, 0x3c];
const HALF = [0x00, 0x38];

describe('Q8_0', () => {
  it('gives the weight of largest magnitude 127 steps, and rounds halves away from zero', () => {
    const weights = [127, -127, 0, 2.5, -2.5, 0.49, ...Array<number>(26).fill(1)];
    const codes = [127, 129, 0, 3, 253, 0, ...Array<number>(26).fill(1)];
    expect([...encode(Q8_0, weights)]).toEqual([...ONE, ...codes]);
  });

  it('scales each block by itself, and stores a block of zeros as zeros', () => {
    const bytes = encode(Q8_0, [...Array<number>(32).fill(0), ...Array<number>(32).fill(63.5)]);
    expect([...bytes.subarray(0, 34)]).toEqual(Array<number>(34).fill(0));
    expect([...bytes.subarray(34)]).toEqual([...HALF, ...Array<number>(32).fill(127)]);
  });

  it('chooses codes by the scale before it is rounded to f16', () => {
    // The scale is 100 / 127, by which 79.1417 makes 100.51 steps; of the scale's f16, 0x3a4d, it makes 100.48.
    const bytes = encode(Q8_0, [100, 79.1417, ...Array<number>(30).fill(0)]);
    expect([...bytes.subarray(0, 4)]).toEqual([0x4d, 0x3a, 127, 101]);
  });
});

describe('Q4_0', () => {
  it('gives the weight of largest magnitude code 0 and pairs the two halves of a block', () => {
    // −8 is the largest: scale 1, so codes are weight + 8.
    const bytes = encode(Q4_0, [...ramp(-8, 1).slice(0, 16), ...Array<number>(16).fill(0)]);
    expect([...bytes.subarray(0, 2)]).toEqual(ONE);
    expect([...bytes.subarray(2)]).toEqual(Array.from({ length: 16 }, (_, i) => i | (8 << 4)));
  });

  it('takes a negative scale where the largest weight is positive, and holds its opposite to 15', () => {
    const bytes = encode(Q4_0, [8, -8, 7.5, ...Array<number>(29).fill(0)]);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0xbc]);
    // 8 → 0; −8 → 16, held to 15; 7.5 → trunc(−7.5 + 8.5) = 1.
    expect([...bytes.subarray(2, 5)].map((byte) => byte & 15)).toEqual([0, 15, 1]);
  });

  it('stores a block of zeros as scale −0 and the middle code', () => {
    expect([...encode(Q4_0, Array<number>(32).fill(0))]).toEqual([
      0x00,
      0x80,
      ...Array<number>(16).fill(0x88),
    ]);
  });
});

it('F16 and F32 keep numbers as they are, little-endian', () => {
  expect([...encode(F16, [1, -2])]).toEqual([0x00, 0x3c, 0x00, 0xc0]);
  expect([...encode(F32, [1])]).toEqual([0, 0, 0x80, 0x3f]);
});
