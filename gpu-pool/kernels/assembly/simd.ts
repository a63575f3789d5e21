/** 1, which no compiler can know: V8 rebuilds a constant vector at each use, in three instructions. */
@inline
export function one(): i32 {
  return min(memory.size(), 1);
}

/**
 * No bits, whatever the vectors are. In it a and b are added, and c and d, by which V8 knows that they and all that they are made
 * of can share vectors of 256 bits, see wide-vectors.ts; sums that are stored side by side it finds by itself.
 */
@inline
export function together(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.and(v128.or(i32x4.add(a, b), i32x4.add(c, d)), i32x4.splat(one() - 1));
}

/** a · b + c, rounded once where the processor can: every path of a kernel uses it, so all paths round alike. */
@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}

/** Sum of the lanes of a, of b, of c and of d. A lone sum takes the same vector four times: it adds in the same order. */
@inline
export function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/**
 * e^x with a relative error below 2e-7: x = n·ln 2 + r, e^r by the polynomial of Cephes' expf, 2^n by building the
 * exponent bits. Below −87 it stays at e^−87 and above 88 at e^88, which keeps 2^n a normal number; NaN stays NaN.
 * @param unit 1, from `one()`: loops then keep the constants in registers
 */
@inline
export function exponential(x: v128, unit: f32): v128 {
  const bounded = f32x4.pmax(f32x4.pmin(x, f32x4.splat(88 * unit)), f32x4.splat(-87 * unit));
  const power = f32x4.nearest(f32x4.mul(bounded, f32x4.splat(<f32>1.44269504088896 * unit)));
  // ln 2 in two parts, the first short enough that power · part is exact.
  const near = f32x4.relaxed_nmadd(power, f32x4.splat(<f32>0.693359375 * unit), bounded);
  const rest = f32x4.relaxed_nmadd(power, f32x4.splat(<f32>-2.12194440e-4 * unit), near);
  let series = multiplyAdd(f32x4.splat(<f32>1.9875691500e-4 * unit), rest, f32x4.splat(<f32>1.3981999507e-3 * unit));
  series = multiplyAdd(series, rest, f32x4.splat(<f32>8.3334519073e-3 * unit));
  series = multiplyAdd(series, rest, f32x4.splat(<f32>4.1665795894e-2 * unit));
  series = multiplyAdd(series, rest, f32x4.splat(<f32>1.6666665459e-1 * unit));
  series = multiplyAdd(series, rest, f32x4.splat(<f32>5.0000001201e-1 * unit));
  series = multiplyAdd(series, f32x4.mul(rest, rest), f32x4.add(rest, f32x4.splat(unit)));
  // A NaN may become any power of two here: the series is NaN then.
  const exponent = i32x4.add(i32x4.relaxed_trunc_f32x4_s(power), i32x4.splat(127 * <i32>unit));
  return f32x4.mul(series, i32x4.shl(exponent, 23));
}

/** x · sigmoid(x); `unit` as in `exponential`. */
@inline
export function silu(x: v128, unit: f32): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(unit), exponential(f32x4.neg(x), unit)));
}

/** Bytes of the constants of `decay`. */
export const DECAY_BYTES: u32 = 48;

/** Writes the constants of `decay`. */
export function writeDecay(target: usize): void {
  store<f32>(target, -87);
  store<f32>(target, 1.44269504088896, 4);
  // 1.5 · 2²³ leaves no room for fractions: 127 + n stands in the lowest bits then.
  store<f32>(target, 12_583_039, 8);
  store<f32>(target, 0.693359375, 12);
  store<f32>(target, -2.12194440e-4, 16);
  store<f32>(target, 1.9875691500e-4, 20);
  store<f32>(target, 1.3981999507e-3, 24);
  store<f32>(target, 8.3334519073e-3, 28);
  store<f32>(target, 4.1665795894e-2, 32);
  store<f32>(target, 1.6666665459e-1, 36);
  store<f32>(target, 5.0000001201e-1, 40);
  store<f32>(target, 1, 44);
}

/**
 * e^x for x ≤ 0, computed as `exponential` does, but by operations that V8 knows with 256 bits too, see wide-vectors.ts. −∞ gives e^−87.
 * @param constants from `writeDecay`: a load each, where a loop would make them anew
 */
@inline
export function decay(x: v128, constants: usize): v128 {
  const bounded = f32x4.pmax(x, v128.load32_splat(constants));
  const rounding = v128.load32_splat(constants, 8);
  const rounded = f32x4.add(f32x4.mul(bounded, v128.load32_splat(constants, 4)), rounding);
  const power = f32x4.sub(rounded, rounding);
  const near = f32x4.relaxed_nmadd(power, v128.load32_splat(constants, 12), bounded);
  const rest = f32x4.relaxed_nmadd(power, v128.load32_splat(constants, 16), near);
  let series = multiplyAdd(v128.load32_splat(constants, 20), rest, v128.load32_splat(constants, 24));
  series = multiplyAdd(series, rest, v128.load32_splat(constants, 28));
  series = multiplyAdd(series, rest, v128.load32_splat(constants, 32));
  series = multiplyAdd(series, rest, v128.load32_splat(constants, 36));
  series = multiplyAdd(series, rest, v128.load32_splat(constants, 40));
  series = multiplyAdd(series, f32x4.mul(rest, rest), f32x4.add(rest, v128.load32_splat(constants, 44)));
  // A NaN may become any power of two here: the series is NaN then.
  return f32x4.mul(series, i32x4.shl(rounded, 23));
}
