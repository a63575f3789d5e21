/*
 * Quantised activations, each row to int8 with one scale. There are three forms, and a fourth in
 * quantize-woven.ts.
 *
 * In groups, as rows.ts reads them. Everything in them stands four times in a row, as the vector that a loop needs: loading it
 * takes one instruction, spreading it out would take another one or two each time. Rows are taken in groups of four, and those
 * that are left make a smaller one, so that a group's rows are computed together. A row takes 144 bytes for every chunk of 32
 * inputs, inputs padded to whole blocks, and 16 more; a group lies where its first row would: at row · rowBytes. In a group,
 * chunk after chunk:
 *   codes  16 bytes with the first four inputs of each row, then 16 with the next four of each row, and so on: signed bytes
 *   sums   16 bytes for each row, pairs of 16-bit integers: minus the sum of the codes of inputs 0 and 1 modulo 4, and minus
 *          that of the others; a dot product of bytes has its sums in such pairs
 * and behind the chunks the scale of each row.
 *
 * Plain, for products of whole matrices elsewhere: rows of unsigned bytes, code + 128, inputs padded to whole blocks; the
 * scales of all rows (f32) lie behind the last row, at the next multiple of 16. In words, for panels.ts: the same with 16-bit
 * integers, the codes themselves.
 */

/** Inputs whose products are summed in integers. */
export const CHUNK: u32 = 32;
/** Bytes of a row's codes of a chunk. */
export const CODES_BYTES: u32 = 4 * CHUNK;
export const TAIL_BYTES: u32 = 16;
/** Bytes of the scale of a row in a group. */
const SCALE_BYTES: u32 = 16;
/** What is added to the codes of the plain form. */
const PLAIN_ZERO: u32 = 128;

@inline
export function blockCount(inputSize: u32, blockSize: u32): u32 {
  return (inputSize + blockSize - 1) / blockSize;
}

/** Inputs, padded to whole blocks. */
@inline
export function paddedSize(inputSize: u32, blockSize: u32): u32 {
  return blockCount(inputSize, blockSize) * blockSize;
}

@inline
export function quantizedRowBytes(inputSize: u32, blockSize: u32): u32 {
  return (paddedSize(inputSize, blockSize) / CHUNK) * (CODES_BYTES + TAIL_BYTES) + SCALE_BYTES;
}

/** Rows of the next group when `left` rows remain. */
@inline
export function groupSize(left: u32): u32 {
  return min(left, 4);
}

/**
 * Rounds f32 rows `[rows, inputSize]` to int8, in groups: code = round(x / scale), scale = largest |x| / 127. A NaN or an
 * infinity makes the scale so, and with it no output of the row is finite.
 * @param sourceStride floats from one row to the next
 * @param inputSize a multiple of 4; the last block is filled up with zeros
 */
export function quantizeRows(
  source: usize,
  sourceStride: u32,
  rows: u32,
  inputSize: u32,
  blockSize: u32,
  target: usize,
): void {
  const rowBytes = quantizedRowBytes(inputSize, blockSize);
  const chunks = paddedSize(inputSize, blockSize) / CHUNK;
  for (let row: u32 = 0; row < rows; ) {
    const group = groupSize(rows - row);
    for (let member: u32 = 0; member < group; member++) {
      quantizeRow(source, inputSize, chunks, target + row * rowBytes, group, member);
      source += 4 * sourceStride;
    }
    row += group;
  }
}

function quantizeRow(
  source: usize,
  inputSize: u32,
  chunks: u32,
  target: usize,
  group: u32,
  member: u32,
): void {
  const end = source + 4 * inputSize;
  const scale = rowScale(source, end);
  const inverse = inverseOf(scale);
  for (let chunk: u32 = 0; chunk < chunks; chunk++) {
    quantizeChunk(source, end, inverse, target, group, member);
    source += 4 * CHUNK;
    target += (CODES_BYTES + TAIL_BYTES) * group;
  }
  v128.store(target + SCALE_BYTES * member, f32x4.splat(scale));
}

/** Writes a chunk of one row, filled up with zeros where the source ends early. */
function quantizeChunk(
  source: usize,
  end: usize,
  inverse: v128,
  target: usize,
  group: u32,
  member: u32,
): void {
  const codesEnd = target + CODES_BYTES * group;
  let codes = target + 16 * member;
  let sums = i32x4.splat(0);
  for (; codes < codesEnd; codes += 16 * group) {
    let four = i32x4.splat(0);
    if (source < end) {
      four = codesOfFour(source, inverse);
      sums = i32x4.add(sums, four);
      source += 16;
    }
    const words = i16x8.narrow_i32x4_s(four, four);
    v128.store(codes, i8x16.narrow_i16x8_s(words, words));
  }
  const pairs = i32x4.neg(i32x4.add(sums, v128.shuffle<i32>(sums, sums, 1, 0, 3, 2)));
  const both = v128.shuffle<i32>(pairs, pairs, 0, 2, 0, 2);
  v128.store(codesEnd + TAIL_BYTES * member, i16x8.narrow_i32x4_s(both, both));
}

/** The same codes and scales in the plain form. */
export function quantizePlain(
  source: usize,
  sourceStride: u32,
  rows: u32,
  inputSize: u32,
  blockSize: u32,
  target: usize,
): void {
  const rowBytes = paddedSize(inputSize, blockSize);
  const scales = plainScales(target, rows, rowBytes);
  const zero = i32x4.splat(PLAIN_ZERO);
  for (let row: u32 = 0; row < rows; row++) {
    const end = source + 4 * inputSize;
    const inverse = storeScale(source, end, scales + 4 * row);
    let at = target + row * rowBytes;
    for (let from = source; from < end; from += 16) {
      const four = i32x4.add(codesOfFour(from, inverse), zero);
      const words = i16x8.narrow_i32x4_s(four, four);
      v128.store32_lane(at, i8x16.narrow_i16x8_u(words, words), 0);
      at += 4;
    }
    memory.fill(at, <u8>PLAIN_ZERO, rowBytes - inputSize);
    source += 4 * sourceStride;
  }
}

/** The same codes as 16-bit integers `[rows, inputSize]`, and the scales of all rows (f32) behind them as in the plain form. */
export function quantizeWords(source: usize, sourceStride: u32, rows: u32, inputSize: u32, target: usize): void {
  const rowBytes = 2 * inputSize;
  const scales = plainScales(target, rows, rowBytes);
  for (let row: u32 = 0; row < rows; row++) {
    const end = source + 4 * inputSize;
    const inverse = storeScale(source, end, scales + 4 * row);
    let at = target + row * rowBytes;
    for (let from = source; from < end; from += 16) {
      const four = codesOfFour(from, inverse);
      v128.store64_lane(at, i16x8.narrow_i32x4_s(four, four), 0);
      at += 8;
    }
    source += 4 * sourceStride;
  }
}

/** Stores a row's scale; returns its inverse. */
@inline
export function storeScale(source: usize, end: usize, at: usize): v128 {
  const scale = rowScale(source, end);
  store<f32>(at, scale);
  return inverseOf(scale);
}

/** Where the scales of plain rows lie. */
@inline
export function plainScales(plain: usize, rows: u32, rowBytes: u32): usize {
  return (plain + rows * rowBytes + 15) & ~15;
}

@inline
export function codesOfFour(source: usize, inverse: v128): v128 {
  return i32x4.relaxed_trunc_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source), inverse)));
}

@inline
function inverseOf(scale: f32): v128 {
  return f32x4.splat(scale == 0 ? 0 : 1 / scale);
}

/** Largest |x| / 127. Compared as integers, which orders positive floats alike and puts NaN above all of them. */
function rowScale(source: usize, end: usize): f32 {
  let largest = i32x4.splat(0);
  for (; source < end; source += 16) largest = i32x4.max_s(largest, f32x4.abs(v128.load(source)));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 1, 0, 3, 2));
  return f32x4.extract_lane(largest, 0) / 127;
}
