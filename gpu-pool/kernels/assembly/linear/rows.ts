/*
 * The inner loops of linear.ts: one tile of 8 outputs times one, two or four rows of activations.
 *
 * Products are summed over a chunk of 32 inputs in integers, exactly, in one of two ways:
 *   wide    four products at a time into 32 bits: one instruction where V8 has it (x86 with AVX-VNNI)
 *   narrow  two products at a time into 16 bits, in which the chunk's 8 pairs of products with 4-bit codes fit: two
 *           instructions everywhere. 8-bit codes are taken as a low and a high half of 4 bits each.
 * Both give the same integers, so results do not depend on the machine.
 *
 * A vector of 16 codes belongs to four rows of the tile. From each vector that is loaded, two are made, `low` and `high`:
 *   int4         the low halves are rows 0 to 3, the high halves rows 4 to 7
 *   int8 wide    rows 0 to 3 as they are, and rows 4 to 7 from the second half of the chunk
 *   int8 narrow  the low and high halves of rows 0 to 3 in a first run over the tile, those of rows 4 to 7 in a second
 *
 * Each loop is compiled for every kind of codes, `C`, and of sums, `S`. What it needs in the way of constant vectors it
 * makes from `one()`. It takes one vector of codes per turn, because V8 unrolls it by itself without mixing up turns: with
 * two per turn, values outnumber the registers.
 */
import {
  addDot,
  addHigh,
  addLow,
  bitsOf,
  finish,
  highCodes,
  highScales,
  highZeroPoints,
  Int4,
  Int8,
  lowCodes,
  lowScales,
  lowZeroPoints,
  offset,
  one,
  wideDot,
} from './codes';
import { CHUNK, CODES_BYTES, TAIL_BYTES } from './quantize';

/** Scales and zero points of a block. */
export const BLOCK_TAIL_BYTES: u32 = 32;

/** Runs over a tile that the functions below need: 8-bit codes in halves take one for each half of the tile. */
export function runsOf(bits: u32): u32 {
  return bits == 8 && !wideDot ? 2 : 1;
}

/**
 * @param run 0 … `runsOf(bits)` − 1
 * @param chunks of a block
 * @param x activations of a group of four rows
 * @param stride bytes from one row of the output to the next
 * @param gated as in `finish`
 */
export function tileTimesFourRows(
  bits: u32,
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
  gated: bool,
): void {
  if (bits == 4) {
    if (wideDot) fourRows<Int4, i32>(run, tile, blocks, chunks, x, output, stride, gated);
    else fourRows<Int4, i16>(run, tile, blocks, chunks, x, output, stride, gated);
  } else {
    if (wideDot) fourRows<Int8, i32>(run, tile, blocks, chunks, x, output, stride, gated);
    else fourRows<Int8, i16>(run, tile, blocks, chunks, x, output, stride, gated);
  }
}

/** As `tileTimesFourRows`, for a group of two. */
export function tileTimesTwoRows(
  bits: u32,
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
  gated: bool,
): void {
  if (bits == 4) {
    if (wideDot) twoRows<Int4, i32>(run, tile, blocks, chunks, x, output, stride, gated);
    else twoRows<Int4, i16>(run, tile, blocks, chunks, x, output, stride, gated);
  } else {
    if (wideDot) twoRows<Int8, i32>(run, tile, blocks, chunks, x, output, stride, gated);
    else twoRows<Int8, i16>(run, tile, blocks, chunks, x, output, stride, gated);
  }
}

/** As `tileTimesFourRows`, for a group of one. */
export function tileTimesOneRow(
  bits: u32,
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  gated: bool,
): void {
  if (bits == 4) {
    if (wideDot) oneRow<Int4, i32>(run, tile, blocks, chunks, x, output, gated);
    else oneRow<Int4, i16>(run, tile, blocks, chunks, x, output, gated);
  } else {
    if (wideDot) oneRow<Int8, i32>(run, tile, blocks, chunks, x, output, gated);
    else oneRow<Int8, i16>(run, tile, blocks, chunks, x, output, gated);
  }
}

function fourRows<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
  gated: bool,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  const ones = i16x8.splat(<i16>one());
  let sumLow0 = f32x4.splat(0);
  let sumLow1 = f32x4.splat(0);
  let sumLow2 = f32x4.splat(0);
  let sumLow3 = f32x4.splat(0);
  let sumHigh0 = f32x4.splat(0);
  let sumHigh1 = f32x4.splat(0);
  let sumHigh2 = f32x4.splat(0);
  let sumHigh3 = f32x4.splat(0);
  const codesBytes = chunks * CHUNK * bitsOf<C>();
  const end = tile + blocks * (codesBytes + BLOCK_TAIL_BYTES);
  let tail = tile + codesBytes;
  let codes = tile + 128 * run;
  while (codes < end) {
    const xTail = x + 4 * CODES_BYTES;
    const lowZeros = lowZeroPoints<C, S>(run, tail);
    const highZeros = highZeroPoints<C, S>(run, tail);
    let low0 = offset<S>(lowZeros, xTail);
    let high0 = offset<S>(highZeros, xTail);
    let low1 = offset<S>(lowZeros, xTail + TAIL_BYTES);
    let high1 = offset<S>(highZeros, xTail + TAIL_BYTES);
    let low2 = offset<S>(lowZeros, xTail + 2 * TAIL_BYTES);
    let high2 = offset<S>(highZeros, xTail + 2 * TAIL_BYTES);
    let low3 = offset<S>(lowZeros, xTail + 3 * TAIL_BYTES);
    let high3 = offset<S>(highZeros, xTail + 3 * TAIL_BYTES);
    for (; x < xTail; x += 64) {
      const packed = v128.load(codes);
      const low = lowCodes<C, S>(packed, mask);
      const high = highCodes<C, S>(packed, mask, codes);
      const x0 = v128.load(x);
      low0 = addDot<S>(x0, low, low0);
      high0 = addDot<S>(x0, high, high0);
      const x1 = v128.load(x, 16);
      low1 = addDot<S>(x1, low, low1);
      high1 = addDot<S>(x1, high, high1);
      const x2 = v128.load(x, 32);
      low2 = addDot<S>(x2, low, low2);
      high2 = addDot<S>(x2, high, high2);
      const x3 = v128.load(x, 48);
      low3 = addDot<S>(x3, low, low3);
      high3 = addDot<S>(x3, high, high3);
      codes += 16;
    }
    if (bitsOf<C>() == 8) codes += 128;
    const lowScale = lowScales<C, S>(run, tail);
    const highScale = highScales(tail);
    const scale0 = v128.load(x);
    sumLow0 = addLow<C, S>(low0, high0, ones, f32x4.mul(lowScale, scale0), sumLow0);
    sumHigh0 = addHigh<C, S>(high0, ones, f32x4.mul(highScale, scale0), sumHigh0);
    const scale1 = v128.load(x, 32);
    sumLow1 = addLow<C, S>(low1, high1, ones, f32x4.mul(lowScale, scale1), sumLow1);
    sumHigh1 = addHigh<C, S>(high1, ones, f32x4.mul(highScale, scale1), sumHigh1);
    const scale2 = v128.load(x, 64);
    sumLow2 = addLow<C, S>(low2, high2, ones, f32x4.mul(lowScale, scale2), sumLow2);
    sumHigh2 = addHigh<C, S>(high2, ones, f32x4.mul(highScale, scale2), sumHigh2);
    const scale3 = v128.load(x, 96);
    sumLow3 = addLow<C, S>(low3, high3, ones, f32x4.mul(lowScale, scale3), sumLow3);
    sumHigh3 = addHigh<C, S>(high3, ones, f32x4.mul(highScale, scale3), sumHigh3);
    x += 4 * TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  finish<C, S>(run, output, sumLow0, sumHigh0, gated);
  finish<C, S>(run, output + stride, sumLow1, sumHigh1, gated);
  finish<C, S>(run, output + 2 * stride, sumLow2, sumHigh2, gated);
  finish<C, S>(run, output + 3 * stride, sumLow3, sumHigh3, gated);
}

function twoRows<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
  gated: bool,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  const ones = i16x8.splat(<i16>one());
  let sumLow0 = f32x4.splat(0);
  let sumLow1 = f32x4.splat(0);
  let sumHigh0 = f32x4.splat(0);
  let sumHigh1 = f32x4.splat(0);
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
    const lowScale = lowScales<C, S>(run, tail);
    const highScale = highScales(tail);
    const scale0 = v128.load(x);
    sumLow0 = addLow<C, S>(low0, high0, ones, f32x4.mul(lowScale, scale0), sumLow0);
    sumHigh0 = addHigh<C, S>(high0, ones, f32x4.mul(highScale, scale0), sumHigh0);
    const scale1 = v128.load(x, 32);
    sumLow1 = addLow<C, S>(low1, high1, ones, f32x4.mul(lowScale, scale1), sumLow1);
    sumHigh1 = addHigh<C, S>(high1, ones, f32x4.mul(highScale, scale1), sumHigh1);
    x += 2 * TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  finish<C, S>(run, output, sumLow0, sumHigh0, gated);
  finish<C, S>(run, output + stride, sumLow1, sumHigh1, gated);
}

function oneRow<C, S>(
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  gated: bool,
): void {
  const mask = i8x16.splat(<i8>(15 * one()));
  const ones = i16x8.splat(<i16>one());
  let sumLow = f32x4.splat(0);
  let sumHigh = f32x4.splat(0);
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
    const scale = v128.load(x);
    sumLow = addLow<C, S>(low, high, ones, f32x4.mul(lowScales<C, S>(run, tail), scale), sumLow);
    sumHigh = addHigh<C, S>(high, ones, f32x4.mul(highScales(tail), scale), sumHigh);
    x += TAIL_BYTES;
    if (codes >= tail) {
      codes += BLOCK_TAIL_BYTES;
      tail += codesBytes + BLOCK_TAIL_BYTES;
    }
  }
  finish<C, S>(run, output, sumLow, sumHigh, gated);
}

