/*
 * Numbers of a head in lane order: of every sixteen those that stand in the lower halves of their words, then those in the upper halves
 * (stored-rows.ts). So two vectors of words side by side make two of 256 bits, lower and upper, of 8 numbers each.
 * Of two vectors side by side the second is stored first: only then one store does for both, in case that the second is beyond memory.
 * T says how numbers are kept: i16 as they are stored, f32 as floats.
 */
import { lowerFour, upperFour } from './stored-rows';

/** Four words; nothing where there are floats. */
@inline
export function words<T>(at: usize): v128 {
  if (isFloat<T>()) return i32x4.splat(0);
  return v128.load(at);
}

/** Four lower numbers, of `words` or at `at`. */
@inline
export function lower<T>(at: usize, words: v128): v128 {
  if (isFloat<T>()) return v128.load(at);
  return lowerFour(words);
}

/** The upper numbers that go with them. */
@inline
export function upper<T>(at: usize, words: v128): v128 {
  if (isFloat<T>()) return v128.load(at + 32);
  return upperFour(words);
}

/** Writes the numbers of a head of `count` positions as floats `[count, D]`. */
export function spreadNumbers(codes: usize, tokenBytes: u32, count: u32, headSize: u32, target: usize): void {
  for (let position: u32 = 0; position < count; position++) {
    const end = codes + 2 * headSize;
    for (let at = codes; at < end; at += 32) {
      const first = v128.load(at);
      const second = v128.load(at, 16);
      v128.store(target, upperFour(second), 48);
      v128.store(target, upperFour(first), 32);
      v128.store(target, lowerFour(second), 16);
      v128.store(target, lowerFour(first));
      target += 64;
    }
    codes += tokenBytes;
  }
}
