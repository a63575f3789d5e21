/* What the loops of rows.ts do with codes and sums of every kind. */
import { one } from '../simd';

/** Kinds of codes; the kinds of sums are i32 (wide) and i16 (narrow). */
export class Int4 {}
export class Int8 {}

/**
 * True where the wide dot product takes codes up to 255 for unsigned and does not saturate, as with AVX-VNNI. It is found
 * out when a thread loads the kernels, and exported for who chooses what the kernels compute, and so that tests can try both ways.
 */
export let wideDot: bool = probeWideDot();

function probeWideDot(): bool {
  const x = i8x16.splat(<i8>(127 * one()));
  const codes = i8x16.splat(<i8>(255 * one()));
  const products = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, codes, i32x4.splat(0));
  return i32x4.extract_lane(products, 0) == 4 * 127 * 255;
}

@inline
export function bitsOf<C>(): u32 {
  return idof<C>() == idof<Int4>() ? 4 : 8;
}

@inline
function isWide<S>(): bool {
  return sizeof<S>() == 4;
}

/** Codes are taken as they are. */
@inline
function isWhole<C, S>(): bool {
  return bitsOf<C>() == 8 && isWide<S>();
}

/** Each code is taken as two halves, both of which belong to the sums called low. */
@inline
function isHalved<C, S>(): bool {
  return bitsOf<C>() == 8 && !isWide<S>();
}

@inline
export function lowCodes<C, S>(packed: v128, mask: v128): v128 {
  return isWhole<C, S>() ? packed : v128.and(packed, mask);
}

/** `packed` was loaded from `at`. */
@inline
export function highCodes<C, S>(packed: v128, mask: v128, at: usize): v128 {
  return isWhole<C, S>() ? v128.load(at, 128) : v128.and(i16x8.shr_u(packed, 4), mask);
}

/** Zero points of the low codes as 16-bit integers, each twice. */
@inline
export function lowZeroPoints<C, S>(run: u32, tail: usize): v128 {
  const zeroPoints = v128.load8x8_u(tail + 8 * run, 16);
  return isHalved<C, S>() ? v128.and(zeroPoints, i16x8.splat(15)) : zeroPoints;
}

@inline
export function highZeroPoints<C, S>(run: u32, tail: usize): v128 {
  return isHalved<C, S>() ? i16x8.shr_u(v128.load8x8_u(tail + 8 * run, 16), 4) : v128.load8x8_u(tail, 24);
}

/**
 * What sums start from: −zeroPoint · Σ activation. In 16 bits it may wrap around, and does so back when the products are
 * added: |Σ (code − zeroPoint) · activation| ≤ 15 · 127 · 16 for each of the two halves of a chunk.
 */
@inline
export function offset<S>(zeroPoints: v128, xTail: usize): v128 {
  const negatedSums = v128.load(xTail);
  return isWide<S>() ? i32x4.dot_i16x8_s(zeroPoints, negatedSums) : i16x8.mul(zeroPoints, negatedSums);
}

/** Adds the products of four activations, the same in each 32-bit lane, with the codes of four rows. */
@inline
export function addDot<S>(x: v128, codes: v128, sums: v128): v128 {
  return isWide<S>()
    ? i32x4.relaxed_dot_i8x16_i7x16_add_s(x, codes, sums)
    : i16x8.add(sums, v128.relaxed_dot<i16>(x, codes));
}

/**
 * Steps of rows 0 to 3, or in the second run of rows 4 to 7, by which their sums are multiplied: pairs of 16-bit integers for
 * narrow sums, 32-bit ones for wide.
 */
@inline
export function lowSteps<S>(run: u32, tail: usize): v128 {
  return stepsAt<S>(tail + 8 * run);
}

/** Steps of rows 4 to 7. */
@inline
export function highSteps<S>(tail: usize): v128 {
  return stepsAt<S>(tail + 8);
}

@inline
function stepsAt<S>(at: usize): v128 {
  const steps = v128.load8x8_u(at);
  return isWide<S>() ? v128.and(steps, i32x4.splat(255)) : steps;
}

/** Adds a chunk's sums, times their steps, to the 32-bit sums of rows 0 to 3, or of all four rows of a run. */
@inline
export function addLow<C, S>(low: v128, high: v128, steps: v128, sums: v128): v128 {
  const withLow = addSteps<S>(low, steps, sums);
  return isHalved<C, S>() ? addSteps<S>(high, i16x8.shl(steps, 4), withLow) : withLow;
}

/** The same of rows 4 to 7. */
@inline
export function addHigh<C, S>(high: v128, steps: v128, sums: v128): v128 {
  return isHalved<C, S>() ? sums : addSteps<S>(high, steps, sums);
}

@inline
function addSteps<S>(chunk: v128, steps: v128, sums: v128): v128 {
  return i32x4.add(sums, isWide<S>() ? i32x4.mul(chunk, steps) : i32x4.dot_i16x8_s(chunk, steps));
}

/**
 * Writes the outputs of one row: sums · scales of the tile's rows · scale of the activations.
 */
@inline
export function finish<C, S>(
  run: u32,
  output: usize,
  low: v128,
  high: v128,
  scales: usize,
  xScale: v128,
): void {
  if (isHalved<C, S>()) {
    writeFour(output + 16 * run, low, scales + 16 * run, xScale);
  } else {
    writeFour(output, low, scales, xScale);
    writeFour(output + 16, high, scales + 16, xScale);
  }
}

export function writeFour(output: usize, sums: v128, scales: usize, xScale: v128): void {
  v128.store(output, f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sums), v128.load(scales)), xScale));
}
