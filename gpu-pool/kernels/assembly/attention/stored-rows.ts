/*
 * Rows of keys or values as the cache keeps them: of each head a scale, and its numbers as 16-bit whole numbers in units of it.
 *   scales  f32 `[kvHeads]`, filled up to a multiple of four
 *   codes   `[kvHeads, D / 8, 4]` words of 32 bits; word j of eight numbers holds number j below and number j + 4 above
 * Read as a whole, a word is its upper code and a little more, which the upper code was chosen to make up for: so both come out
 * of a word by one conversion each, without a mask, as multiples of the scale that are exact to half a step.
 */

/** Largest code. */
const LARGEST: f32 = 32_767;
/** A word's upper code stands this many times above its value, and so does a lower one when it is shifted up. */
const UPPER: f32 = 65_536;
/** Largest number of a head below which all of them count as zero: their scale would not be a normal number. */
const SMALLEST: f32 = 1e-30;

@inline
export function scalesBytes(kvHeads: u32): u32 {
  return 4 * ((kvHeads + 3) & ~3);
}

@inline
export function storedRowBytes(kvHeads: u32, headSize: u32): u32 {
  return scalesBytes(kvHeads) + 2 * kvHeads * headSize;
}

/** The first four of eight numbers, in units of their scale. */
@inline
export function lowerFour(words: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.shl(words, 16));
}

/** The last four of them. */
@inline
export function upperFour(words: v128): v128 {
  return f32x4.convert_i32x4_s(words);
}

/**
 * Stores rows of keys or values. A NaN or an infinity makes its whole head NaN.
 * @param source f32 `[rows, kvHeads · D]`
 * @param headSize D, a multiple of 8
 * @param target `[rows]` of `storedRowBytes`
 */
export function storeRows(source: usize, rows: u32, kvHeads: u32, headSize: u32, target: usize): void {
  const headBytes: u32 = 4 * headSize;
  for (let row: u32 = 0; row < rows; row++) {
    let codes = target + scalesBytes(kvHeads);
    for (let head: u32 = 0; head < kvHeads; head++) {
      const largest = largestOfHead(source, headBytes);
      const isZero = largest < SMALLEST;
      store<f32>(target + 4 * head, isZero ? 0 : largest / LARGEST / UPPER);
      storeHead(source, headBytes, isZero ? 0 : LARGEST / largest, codes);
      source += headBytes;
      codes += 2 * headSize;
    }
    target = codes;
  }
}

/** Largest absolute value; NaN where one is. */
function largestOfHead(source: usize, bytes: u32): f32 {
  let largest = f32x4.splat(0);
  for (let at: u32 = 0; at < bytes; at += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(source + at)));
  largest = f32x4.max(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  largest = f32x4.max(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
  return f32x4.extract_lane(largest, 0);
}

function storeHead(source: usize, bytes: u32, factor: f32, codes: usize): void {
  const factors = f32x4.splat(factor);
  for (let at: u32 = 0; at < bytes; at += 32) {
    const lower = f32x4.mul(v128.load(source + at), factors);
    const below = v128.and(i32x4.trunc_sat_f32x4_s(f32x4.nearest(lower)), i32x4.splat(0xffff));
    const upper = f32x4.mul(v128.load(source + at, 16), factors);
    const added = f32x4.mul(f32x4.convert_i32x4_s(below), f32x4.splat(1 / UPPER));
    const above = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.sub(upper, added)));
    v128.store(codes, v128.or(i32x4.shl(above, 16), below));
    codes += 16;
  }
}
