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
  one,
} from './codes';
import { BLOCK_TAIL_BYTES } from './layout';
import { CHUNK, CODES_BYTES, TAIL_BYTES } from './quantize';

/** One tile times one row; see rows.ts. */
export function oneRow<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  gated: bool,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  let sumLow = i32x4.splat(0);
  let sumHigh = i32x4.splat(0);
  const codesBytes = chunks * CHUNK * bitsOf<C>();
  const end = tile + blocks * (codesBytes + BLOCK_TAIL_BYTES);
  let tail = tile + codesBytes;
  let codes = tile + 128 * run;
  while (codes < end) {
    const xTail = x + CODES_BYTES;
    let low = offset<S>(lowZeroPoints<C, S>(run, tail), xTail);
    let high = offset<S>(highZeroPoints<C, S>(run, tail), xTail);
    for (; x < xTail; x += 64) {
      const packedA = v128.load(codes);
      const xA = v128.load(x);
      low = addDot<S>(xA, lowCodes<C, S>(packedA, mask), low);
      high = addDot<S>(xA, highCodes<C, S>(packedA, mask, codes), high);
      const packedB = v128.load(codes, 16);
      const xB = v128.load(x, 16);
      low = addDot<S>(xB, lowCodes<C, S>(packedB, mask), low);
      high = addDot<S>(xB, highCodes<C, S>(packedB, mask, codes + 16), high);
      const packedC = v128.load(codes, 32);
      const xC = v128.load(x, 32);
      low = addDot<S>(xC, lowCodes<C, S>(packedC, mask), low);
      high = addDot<S>(xC, highCodes<C, S>(packedC, mask, codes + 32), high);
      const packedD = v128.load(codes, 48);
      const xD = v128.load(x, 48);
      low = addDot<S>(xD, lowCodes<C, S>(packedD, mask), low);
      high = addDot<S>(xD, highCodes<C, S>(packedD, mask, codes + 48), high);
      codes += 64;
    }
    if (bitsOf<C>() == 8) codes += 128;
    sumLow = addLow<C, S>(low, high, lowSteps<S>(run, tail), sumLow);
    sumHigh = addHigh<C, S>(high, highSteps<S>(tail), sumHigh);
    x += TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  finish<C, S>(run, output, sumLow, sumHigh, end, v128.load(x), gated);
}
