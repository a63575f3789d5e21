/*
 * Products with a panel of signed bytes (see panels.ts) for few rows; for many, ONNX Runtime is faster. A weight is rowScale · byte,
 * an activation xScale · word, so the sums are integers, and the same whoever computes them.
 */
import { readAhead } from '../read-ahead';
import { writeFour } from './codes';

/**
 * Inputs that all columns are computed for before the next: their rows of the panel, and those of the next, which are read ahead bit by
 * bit meanwhile, stay in the first-level cache.
 */
const INPUT_STEP: u32 = 16;
/** Columns that are computed together. */
const COLUMN_STEP: u32 = 16;

/** Kinds of groups: so many rows are computed together. */
class OneRow {}
class TwoRows {}
class ThreeRows {}

@inline
function rowsOf<R>(): u32 {
  return idof<R>() == idof<OneRow>() ? 1 : idof<R>() == idof<TwoRows>() ? 2 : 3;
}

/**
 * `sums[m, n] = Σ_k words[m, k] · panel[k, n]` in int32.
 * @param words `[rows, inputSize]` 16-bit integers, codes of `quantizeWords`
 * @param inputSize an even number
 * @param width of the panel
 * @param sums int32 `[rows, width]`, and 16 bytes behind them
 */
export function sumPanel(words: usize, rows: u32, panel: usize, inputSize: u32, width: u32, sums: usize): void {
  for (let row: u32 = 0; row < rows; ) {
    const group = min(rows - row, 3);
    const x = words + 2 * row * inputSize;
    const target = sums + 4 * row * width;
    if (group == 3) sumRows<ThreeRows>(x, panel, inputSize, width, target);
    else if (group == 2) sumRows<TwoRows>(x, panel, inputSize, width, target);
    else sumRows<OneRow>(x, panel, inputSize, width, target);
    row += group;
  }
}

function sumRows<R>(words: usize, panel: usize, inputSize: u32, width: u32, sums: usize): void {
  memory.fill(sums, 0, 4 * rowsOf<R>() * width);
  for (let input: u32 = 0; input < inputSize; input += INPUT_STEP) {
    const inputs = min(inputSize - input, INPUT_STEP);
    const weights = panel + input * width;
    const unused = sums + 4 * rowsOf<R>() * width;
    if (input == 0) readAhead(weights, inputs * width, unused);
    const next = weights + INPUT_STEP * width;
    const hasNext = input + 2 * INPUT_STEP <= inputSize;
    for (let column: u32 = 0; column < width; column += COLUMN_STEP) {
      if (hasNext) readAhead(next + INPUT_STEP * column, INPUT_STEP * COLUMN_STEP, unused);
      addColumns<R>(words + 2 * input, 2 * inputSize, weights + column, inputs, width, sums + 4 * column);
    }
  }
}

/** Adds the products of some inputs to the sums of 16 columns. */
@inline
function addColumns<R>(words: usize, wordsStride: u32, weights: usize, inputs: u32, width: u32, sums: usize): void {
  const second = sums + 4 * width;
  const third = second + 4 * width;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let c0 = a0;
  let c1 = a0;
  let c2 = a0;
  let c3 = a0;
  if (rowsOf<R>() > 1) {
    b0 = v128.load(second);
    b1 = v128.load(second, 16);
    b2 = v128.load(second, 32);
    b3 = v128.load(second, 48);
  }
  if (rowsOf<R>() > 2) {
    c0 = v128.load(third);
    c1 = v128.load(third, 16);
    c2 = v128.load(third, 32);
    c3 = v128.load(third, 48);
  }
  const end = weights + inputs * width;
  for (; weights < end; weights += 2 * width) {
    const even = v128.load(weights);
    const odd = v128.load(weights + width);
    const low = v128.shuffle<i8>(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const high = v128.shuffle<i8>(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const w0 = i16x8.extend_low_i8x16_s(low);
    const w1 = i16x8.extend_high_i8x16_s(low);
    const w2 = i16x8.extend_low_i8x16_s(high);
    const w3 = i16x8.extend_high_i8x16_s(high);
    const x = v128.load32_splat(words);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, x));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, x));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w2, x));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w3, x));
    if (rowsOf<R>() > 1) {
      const y = v128.load32_splat(words + wordsStride);
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, y));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, y));
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w2, y));
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w3, y));
    }
    if (rowsOf<R>() > 2) {
      const z = v128.load32_splat(words + 2 * wordsStride);
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(w0, z));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(w1, z));
      c2 = i32x4.add(c2, i32x4.dot_i16x8_s(w2, z));
      c3 = i32x4.add(c3, i32x4.dot_i16x8_s(w3, z));
    }
    words += 4;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, a2, 32);
  v128.store(sums, a3, 48);
  if (rowsOf<R>() > 1) {
    v128.store(second, b0);
    v128.store(second, b1, 16);
    v128.store(second, b2, 32);
    v128.store(second, b3, 48);
  }
  if (rowsOf<R>() > 2) {
    v128.store(third, c0);
    v128.store(third, c1, 16);
    v128.store(third, c2, 32);
    v128.store(third, c3, 48);
  }
}

/**
 * Outputs from sums: `output[m, n] = sums[m, n] · rowScales[n] · xScales[m]`.
 * @param width of the panel, whose scales lie at `rowScales`
 * @param columns of it that are outputs, a multiple of 4
 * @param output of the panel's first column; rows `outputStride` floats apart
 */
export function scalePanel(
  sums: usize,
  width: u32,
  rowScales: usize,
  xScales: usize,
  rows: u32,
  columns: u32,
  output: usize,
  outputStride: u32,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    const xScale = v128.load32_splat(xScales + 4 * row);
    const from = sums + 4 * row * width;
    const to = output + 4 * row * outputStride;
    for (let at: u32 = 0; at < 4 * columns; at += 16) {
      writeFour(to + at, v128.load(from + at), rowScales + at, xScale);
    }
  }
}
