/** The inner loop of woven.ts: a panel of 16 columns times one to four rows of activations. */

/** Kinds of groups: so many rows are computed together. */
export class OneRow {}
export class TwoRows {}
export class ThreeRows {}
export class FourRows {}

/** Bytes of a section's codes in a panel. */
export const PANEL_CODES_BYTES: u32 = 1024;
/** With steps and corrections. */
export const SECTION_BYTES: u32 = PANEL_CODES_BYTES + 128;

@inline
function rowsOf<R>(): u32 {
  if (idof<R>() == idof<OneRow>()) return 1;
  if (idof<R>() == idof<TwoRows>()) return 2;
  return idof<R>() == idof<ThreeRows>() ? 3 : 4;
}

/**
 * Writes the outputs of a group of rows.
 * @param x the group, from `quantizeWoven`
 * @param stride bytes from one row of the output to the next
 * @param second bytes from the outputs of the first 8 columns to those of the other 8, which are always written: V8 joins no vectors that
 *   are stored on a condition. 0 where both are the same tile
 */
export function wovenRows<R>(panel: usize, sections: u32, x: usize, output: usize, stride: u32, second: u32): void {
  let aSum0 = i32x4.splat(0);
  let aSum1 = i32x4.splat(0);
  let aSum2 = i32x4.splat(0);
  let aSum3 = i32x4.splat(0);
  let bSum0 = i32x4.splat(0);
  let bSum1 = i32x4.splat(0);
  let bSum2 = i32x4.splat(0);
  let bSum3 = i32x4.splat(0);
  let cSum0 = i32x4.splat(0);
  let cSum1 = i32x4.splat(0);
  let cSum2 = i32x4.splat(0);
  let cSum3 = i32x4.splat(0);
  let dSum0 = i32x4.splat(0);
  let dSum1 = i32x4.splat(0);
  let dSum2 = i32x4.splat(0);
  let dSum3 = i32x4.splat(0);
  const end = panel + sections * SECTION_BYTES;
  while (panel < end) {
    const xTail = x + 64 * rowsOf<R>();
    const aStart = v128.load32_splat(xTail);
    const bStart = rowsOf<R>() > 1 ? v128.load32_splat(xTail, 4) : aStart;
    const cStart = rowsOf<R>() > 2 ? v128.load32_splat(xTail, 8) : aStart;
    const dStart = rowsOf<R>() > 3 ? v128.load32_splat(xTail, 12) : aStart;
    let a0 = aStart;
    let a1 = aStart;
    let a2 = aStart;
    let a3 = aStart;
    let b0 = bStart;
    let b1 = bStart;
    let b2 = bStart;
    let b3 = bStart;
    let c0 = cStart;
    let c1 = cStart;
    let c2 = cStart;
    let c3 = cStart;
    let d0 = dStart;
    let d1 = dStart;
    let d2 = dStart;
    let d3 = dStart;
    for (; x < xTail; x += 4 * rowsOf<R>()) {
      const w0 = v128.load(panel);
      const w1 = v128.load(panel, 16);
      const w2 = v128.load(panel, 32);
      const w3 = v128.load(panel, 48);
      const aX = v128.load32_splat(x);
      a0 = i16x8.add(a0, v128.relaxed_dot<i16>(aX, w0));
      a1 = i16x8.add(a1, v128.relaxed_dot<i16>(aX, w1));
      a2 = i16x8.add(a2, v128.relaxed_dot<i16>(aX, w2));
      a3 = i16x8.add(a3, v128.relaxed_dot<i16>(aX, w3));
      if (rowsOf<R>() > 1) {
        const bX = v128.load32_splat(x, 4);
        b0 = i16x8.add(b0, v128.relaxed_dot<i16>(bX, w0));
        b1 = i16x8.add(b1, v128.relaxed_dot<i16>(bX, w1));
        b2 = i16x8.add(b2, v128.relaxed_dot<i16>(bX, w2));
        b3 = i16x8.add(b3, v128.relaxed_dot<i16>(bX, w3));
      }
      if (rowsOf<R>() > 2) {
        const cX = v128.load32_splat(x, 8);
        c0 = i16x8.add(c0, v128.relaxed_dot<i16>(cX, w0));
        c1 = i16x8.add(c1, v128.relaxed_dot<i16>(cX, w1));
        c2 = i16x8.add(c2, v128.relaxed_dot<i16>(cX, w2));
        c3 = i16x8.add(c3, v128.relaxed_dot<i16>(cX, w3));
      }
      if (rowsOf<R>() > 3) {
        const dX = v128.load32_splat(x, 12);
        d0 = i16x8.add(d0, v128.relaxed_dot<i16>(dX, w0));
        d1 = i16x8.add(d1, v128.relaxed_dot<i16>(dX, w1));
        d2 = i16x8.add(d2, v128.relaxed_dot<i16>(dX, w2));
        d3 = i16x8.add(d3, v128.relaxed_dot<i16>(dX, w3));
      }
      panel += 64;
    }
    const step0 = v128.load(panel);
    const step1 = v128.load(panel, 16);
    const step2 = v128.load(panel, 32);
    const step3 = v128.load(panel, 48);
    const correction0 = v128.load(panel, 64);
    const correction1 = v128.load(panel, 80);
    const correction2 = v128.load(panel, 96);
    const correction3 = v128.load(panel, 112);
    const aTotal = i16x8.shr_s(aStart, 3);
    aSum0 = addSection(aSum0, a0, step0, aTotal, correction0);
    aSum1 = addSection(aSum1, a1, step1, aTotal, correction1);
    aSum2 = addSection(aSum2, a2, step2, aTotal, correction2);
    aSum3 = addSection(aSum3, a3, step3, aTotal, correction3);
    if (rowsOf<R>() > 1) {
      const bTotal = i16x8.shr_s(bStart, 3);
      bSum0 = addSection(bSum0, b0, step0, bTotal, correction0);
      bSum1 = addSection(bSum1, b1, step1, bTotal, correction1);
      bSum2 = addSection(bSum2, b2, step2, bTotal, correction2);
      bSum3 = addSection(bSum3, b3, step3, bTotal, correction3);
    }
    if (rowsOf<R>() > 2) {
      const cTotal = i16x8.shr_s(cStart, 3);
      cSum0 = addSection(cSum0, c0, step0, cTotal, correction0);
      cSum1 = addSection(cSum1, c1, step1, cTotal, correction1);
      cSum2 = addSection(cSum2, c2, step2, cTotal, correction2);
      cSum3 = addSection(cSum3, c3, step3, cTotal, correction3);
    }
    if (rowsOf<R>() > 3) {
      const dTotal = i16x8.shr_s(dStart, 3);
      dSum0 = addSection(dSum0, d0, step0, dTotal, correction0);
      dSum1 = addSection(dSum1, d1, step1, dTotal, correction1);
      dSum2 = addSection(dSum2, d2, step2, dTotal, correction2);
      dSum3 = addSection(dSum3, d3, step3, dTotal, correction3);
    }
    panel += SECTION_BYTES - PANEL_CODES_BYTES;
    x += 4 * rowsOf<R>();
  }
  const scale0 = v128.load(panel);
  const scale1 = v128.load(panel, 16);
  const scale2 = v128.load(panel, 32);
  const scale3 = v128.load(panel, 48);
  const aScale = v128.load32_splat(x);
  writeEight(output, aSum0, aSum1, scale0, scale1, aScale);
  writeEight(output + second, aSum2, aSum3, scale2, scale3, aScale);
  if (rowsOf<R>() > 1) {
    const bScale = v128.load32_splat(x, 4);
    output += stride;
    writeEight(output, bSum0, bSum1, scale0, scale1, bScale);
    writeEight(output + second, bSum2, bSum3, scale2, scale3, bScale);
  }
  if (rowsOf<R>() > 2) {
    const cScale = v128.load32_splat(x, 8);
    output += stride;
    writeEight(output, cSum0, cSum1, scale0, scale1, cScale);
    writeEight(output + second, cSum2, cSum3, scale2, scale3, cScale);
  }
  if (rowsOf<R>() > 3) {
    const dScale = v128.load32_splat(x, 12);
    output += stride;
    writeEight(output, dSum0, dSum1, scale0, scale1, dScale);
    writeEight(output + second, dSum2, dSum3, scale2, scale3, dScale);
  }
}

/** @param total minus the sums of the activations of both chunks */
@inline
function addSection(sums: v128, both: v128, steps: v128, total: v128, corrections: v128): v128 {
  const section = i32x4.add(i32x4.dot_i16x8_s(both, steps), i32x4.dot_i16x8_s(total, corrections));
  return i32x4.add(sums, section);
}

/** All is computed before anything is stored: V8 joins vectors only of what no memory access parts. */
@inline
function writeEight(output: usize, low: v128, high: v128, lowScale: v128, highScale: v128, xScale: v128): void {
  const first = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(low), lowScale), xScale);
  const second = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(high), highScale), xScale);
  v128.store(output, first);
  v128.store(output, second, 16);
}
