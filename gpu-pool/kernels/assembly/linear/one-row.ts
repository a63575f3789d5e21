import { one } from '../simd';
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

/**
 * One tile times one row; see rows.ts. The first and the second of every two vectors of codes have sums of their own, which share vectors
 * of 256 bits, and so have the zero points, which are not taken twice.
 */
export function oneRow<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  let sumLow = i32x4.splat(0);
  let sumHigh = i32x4.splat(0);
  let firstSumLow = i32x4.splat(0);
  let firstSumHigh = i32x4.splat(0);
  let secondSumLow = i32x4.splat(0);
  let secondSumHigh = i32x4.splat(0);
  const codesBytes = chunks * CHUNK * bitsOf<C>();
  const end = tile + blocks * (codesBytes + BLOCK_TAIL_BYTES);
  let tail = tile + codesBytes;
  let codes = tile + 128 * run;
  while (codes < end) {
    const xTail = x + CODES_BYTES;
    let firstLow = i32x4.splat(0);
    let firstHigh = i32x4.splat(0);
    let secondLow = i32x4.splat(0);
    let secondHigh = i32x4.splat(0);
    for (; x < xTail; x += 64) {
      const packedA = v128.load(codes);
      const packedB = v128.load(codes, 16);
      const xA = v128.load(x);
      const xB = v128.load(x, 16);
      firstLow = addDot<S>(xA, lowCodes<C, S>(packedA, mask), firstLow);
      secondLow = addDot<S>(xB, lowCodes<C, S>(packedB, mask), secondLow);
      firstHigh = addDot<S>(xA, highCodes<C, S>(packedA, mask, codes), firstHigh);
      secondHigh = addDot<S>(xB, highCodes<C, S>(packedB, mask, codes + 16), secondHigh);
      const packedC = v128.load(codes, 32);
      const packedD = v128.load(codes, 48);
      const xC = v128.load(x, 32);
      const xD = v128.load(x, 48);
      firstLow = addDot<S>(xC, lowCodes<C, S>(packedC, mask), firstLow);
      secondLow = addDot<S>(xD, lowCodes<C, S>(packedD, mask), secondLow);
      firstHigh = addDot<S>(xC, highCodes<C, S>(packedC, mask, codes + 32), firstHigh);
      secondHigh = addDot<S>(xD, highCodes<C, S>(packedD, mask, codes + 48), secondHigh);
      codes += 64;
    }
    if (bitsOf<C>() == 8) codes += 128;
    const lowStep = lowSteps<S>(run, tail);
    const highStep = highSteps<S>(tail);
    firstSumLow = addLow<C, S>(firstLow, firstHigh, lowStep, firstSumLow);
    secondSumLow = addLow<C, S>(secondLow, secondHigh, lowStep, secondSumLow);
    firstSumHigh = addHigh<C, S>(firstHigh, highStep, firstSumHigh);
    secondSumHigh = addHigh<C, S>(secondHigh, highStep, secondSumHigh);
    const low = offset<S>(lowZeroPoints<C, S>(run, tail), xTail);
    const high = offset<S>(highZeroPoints<C, S>(run, tail), xTail);
    sumLow = addLow<C, S>(low, high, lowStep, sumLow);
    sumHigh = addHigh<C, S>(high, highStep, sumHigh);
    x += TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  sumLow = i32x4.add(sumLow, i32x4.add(firstSumLow, secondSumLow));
  sumHigh = i32x4.add(sumHigh, i32x4.add(firstSumHigh, secondSumHigh));
  finish<C, S>(run, output, sumLow, sumHigh, end, v128.load(x));
}
