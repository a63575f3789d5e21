/*
 * Products of 4-bit matrices for many rows. What rows.ts does with codes as they lie costs less for few rows; here 16 columns (two
 * tiles) at a time are spread to bytes first, into a panel that stays in the first-level cache while all rows are multiplied with it.
 *
 * Two chunks are woven into each other, so that each half of a 32-bit lane holds inputs of one chunk: 16-bit sums of both chunks lie
 * side by side, and one instruction multiplies both by their steps and adds them. So a sum has 32 products to hold, which fit where
 * zero is the middle code:
 *   Σ step · (Σ (code − 8) · activation) + Σ step · (8 − zeroPoint) · Σ activation
 * It starts from −8 · Σ activation, and may wrap around on its way, as in codes.ts: |Σ (code − 8) · activation| ≤ 8 · 127 · 32.
 *
 * A section is two chunks; of an odd number of chunks the last one is taken twice, the second time with activations that are zero. A panel has for each
 * section
 *   codes        16 times 64 bytes: of each column two inputs of the first chunk and the same two of the second
 *   steps        64 bytes: of each column those of the two chunks, as 16-bit integers
 *   corrections  64 bytes: step · (zeroPoint − 8), likewise
 * and behind the sections the scales of its columns.
 */
import { one } from '../simd';
import { BLOCK_TAIL_BYTES, ROW_SCALES_BYTES } from './layout';
import { sizeOfTile } from './linear';
import { blockCount, CHUNK, groupSize, paddedSize } from './quantize';
import { sectionCount, wovenRowBytes } from './quantize-woven';
import { FourRows, OneRow, PANEL_CODES_BYTES, SECTION_BYTES, ThreeRows, TwoRows, wovenRows } from './woven-rows';

/** Bytes of the activations that all columns are multiplied with before the next: about half of a second-level cache. */
const ROWS_BYTES: u32 = 524_288;
/** Tiles of a panel. */
const PANEL_TILES: u32 = 2;
/** Bytes of a chunk's codes in a tile. */
const CHUNK_BYTES: u32 = 4 * CHUNK;
/** The code that sums take for zero. */
const MIDDLE_CODE: i16 = 8;

/**
 * The same as `linear` for 4 bits.
 * @param activations from `quantizeWoven`
 * @param panel scratch memory, of `wovenBytes`
 */
export function linearWoven(
  weights: usize,
  inputSize: u32,
  blockSize: u32,
  tileBegin: u32,
  tileEnd: u32,
  activations: usize,
  rows: u32,
  output: usize,
  outputStride: u32,
  panel: usize,
): void {
  const tileBytes = sizeOfTile(4, inputSize, blockSize);
  const rowBytes = wovenRowBytes(inputSize, blockSize);
  const sections = sectionCount(inputSize, blockSize);
  // Whole groups, of which the last turn may have a smaller one.
  const most = max(1, ROWS_BYTES / rowBytes / 4) * 4;
  for (let begin: u32 = 0; begin < rows; begin += most) {
    const end = min(begin + most, rows);
    for (let tile = tileBegin; tile < tileEnd; tile += PANEL_TILES) {
      const first = weights + tile * tileBytes;
      const isPair = tile + 1 < tileEnd;
      weave(first, isPair ? first + tileBytes : first, inputSize, blockSize, panel);
      for (let row = begin; row < end; ) {
        const group = groupSize(end - row);
        const columns = output + 4 * (row * outputStride + 8 * tile);
        timesGroup(group, panel, sections, activations + row * rowBytes, columns, 4 * outputStride, isPair ? 32 : 0);
        row += group;
      }
    }
  }
}

function timesGroup(
  group: u32,
  panel: usize,
  sections: u32,
  x: usize,
  output: usize,
  stride: u32,
  second: u32,
): void {
  if (group == 4) wovenRows<FourRows>(panel, sections, x, output, stride, second);
  else if (group == 3) wovenRows<ThreeRows>(panel, sections, x, output, stride, second);
  else if (group == 2) wovenRows<TwoRows>(panel, sections, x, output, stride, second);
  else wovenRows<OneRow>(panel, sections, x, output, stride, second);
}

/** Writes the panel of two tiles, which may be the same. */
function weave(first: usize, second: usize, inputSize: u32, blockSize: u32, panel: usize): void {
  // See `one`.
  const lowHalves = i32x4.splat(0xffff * one());
  const mask = i8x16.splat(<i8>(15 * one()));
  const middle = i16x8.splat(<i16>(MIDDLE_CODE * one()));
  const chunks = paddedSize(inputSize, blockSize) / CHUNK;
  for (let chunk: u32 = 0; chunk < chunks; chunk += 2) {
    const other = min(chunk + 1, chunks - 1);
    const codes = codesOffset(chunk, blockSize);
    const otherCodes = codesOffset(other, blockSize);
    weaveCodes(first + codes, first + otherCodes, panel, lowHalves, mask);
    weaveCodes(second + codes, second + otherCodes, panel + 32, lowHalves, mask);
    panel += PANEL_CODES_BYTES;
    const tail = tailOffset(chunk, blockSize);
    const otherTail = tailOffset(other, blockSize);
    weaveSteps(first + tail, first + otherTail, panel, lowHalves, middle);
    weaveSteps(second + tail, second + otherTail, panel + 32, lowHalves, middle);
    panel += SECTION_BYTES - PANEL_CODES_BYTES;
  }
  const scales = blockCount(inputSize, blockSize) * (4 * blockSize + BLOCK_TAIL_BYTES);
  memory.copy(panel, first + scales, ROW_SCALES_BYTES);
  memory.copy(panel + ROW_SCALES_BYTES, second + scales, ROW_SCALES_BYTES);
}

/** Where a chunk's codes lie in a tile. */
@inline
function codesOffset(chunk: u32, blockSize: u32): u32 {
  return CHUNK_BYTES * chunk + BLOCK_TAIL_BYTES * blockOf(chunk, blockSize);
}

/** Where its steps and zero points do. */
@inline
function tailOffset(chunk: u32, blockSize: u32): u32 {
  return (blockOf(chunk, blockSize) + 1) * (4 * blockSize + BLOCK_TAIL_BYTES) - BLOCK_TAIL_BYTES;
}

/** A block size is a power of two, and shifting is much faster than dividing. */
@inline
function blockOf(chunk: u32, blockSize: u32): u32 {
  return (chunk * CHUNK) >> ctz(blockSize);
}

/** Codes of 8 columns, of two chunks. */
@inline
function weaveCodes(codes: usize, other: usize, target: usize, lowHalves: v128, mask: v128): void {
  const end = codes + CHUNK_BYTES;
  for (; codes < end; codes += 16) {
    const a = v128.load(codes);
    const b = v128.load(other);
    const even = v128.relaxed_laneselect<i8>(a, i32x4.shl(b, 16), lowHalves);
    const odd = v128.relaxed_laneselect<i8>(i32x4.shr_u(a, 16), b, lowHalves);
    v128.store(target, v128.and(even, mask));
    v128.store(target, v128.and(i16x8.shr_u(even, 4), mask), 16);
    v128.store(target, v128.and(odd, mask), 64);
    v128.store(target, v128.and(i16x8.shr_u(odd, 4), mask), 80);
    other += 16;
    target += 128;
  }
}

/** Steps and corrections of 8 columns, of two chunks. */
@inline
function weaveSteps(tail: usize, other: usize, target: usize, lowHalves: v128, middle: v128): void {
  const low = v128.relaxed_laneselect<i8>(v128.load8x8_u(tail), v128.load8x8_u(other), lowHalves);
  const high = v128.relaxed_laneselect<i8>(v128.load8x8_u(tail, 8), v128.load8x8_u(other, 8), lowHalves);
  const lowZero = v128.relaxed_laneselect<i8>(v128.load8x8_u(tail, 16), v128.load8x8_u(other, 16), lowHalves);
  const highZero = v128.relaxed_laneselect<i8>(v128.load8x8_u(tail, 24), v128.load8x8_u(other, 24), lowHalves);
  v128.store(target, low);
  v128.store(target, high, 16);
  v128.store(target, i16x8.mul(i16x8.sub(lowZero, middle), low), 64);
  v128.store(target, i16x8.mul(i16x8.sub(highZero, middle), high), 80);
}
