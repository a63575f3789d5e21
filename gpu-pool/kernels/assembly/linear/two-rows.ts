import { one, together } from '../simd';
import {
  addDot,
  addHigh,
  addLow,
  bitsOf,
  finish,
  highCodes,
  highSteps,
  highZeroPoints,
  lowCodes,
  lowSteps,
  lowZeroPoints,
  offset,
} from './codes';
import { BLOCK_TAIL_BYTES } from './layout';
import { CHUNK, CODES_BYTES, TAIL_BYTES } from './quantize';

/** One tile times a group of two rows; see rows.ts. */
export function twoRows<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  let sumLow0 = i32x4.splat(0);
  let sumLow1 = i32x4.splat(0);
  let sumHigh0 = i32x4.splat(0);
  let sumHigh1 = i32x4.splat(0);
  const codesBytes = chunks * CHUNK * bitsOf<C>();
  const end = tile + blocks * (codesBytes + BLOCK_TAIL_BYTES);
  let tail = tile + codesBytes;
  let codes = tile + 128 * run;
  while (codes < end) {
    const xTail = x + 2 * CODES_BYTES;
    const lowZeros = lowZeroPoints<C, S>(run, tail);
    const highZeros = highZeroPoints<C, S>(run, tail);
    let low0 = offset<S>(lowZeros, xTail);
    let high0 = offset<S>(highZeros, xTail);
    let low1 = offset<S>(lowZeros, xTail + TAIL_BYTES);
    let high1 = offset<S>(highZeros, xTail + TAIL_BYTES);
    for (; x < xTail; x += 32) {
      const packed = v128.load(codes);
      const low = lowCodes<C, S>(packed, mask);
      const high = highCodes<C, S>(packed, mask, codes);
      const x0 = v128.load(x);
      low0 = addDot<S>(x0, low, low0);
      high0 = addDot<S>(x0, high, high0);
      const x1 = v128.load(x, 16);
      low1 = addDot<S>(x1, low, low1);
      high1 = addDot<S>(x1, high, high1);
      codes += 16;
    }
    if (bitsOf<C>() == 8) codes += 128;
    const lowStep = lowSteps<S>(run, tail);
    const highStep = highSteps<S>(tail);
    sumLow0 = addLow<C, S>(low0, high0, lowStep, sumLow0);
    sumHigh0 = addHigh<C, S>(high0, highStep, sumHigh0);
    sumLow1 = addLow<C, S>(low1, high1, lowStep, sumLow1);
    sumHigh1 = addHigh<C, S>(high1, highStep, sumHigh1);
    x += 2 * TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  const first = together(sumLow0, sumLow1, sumHigh0, sumHigh1);
  const scale = v128.or(v128.load(x), first);
  finish<C, S>(run, output, sumLow0, sumHigh0, end, scale);
  finish<C, S>(run, output + stride, sumLow1, sumHigh1, end, v128.load(x, 16));
}
