/*
 * Quantised activations, as rows.ts reads them. Everything in them stands four times in a row, as the vector that a
 * loop needs: loading it takes one instruction, spreading it out would take another one or two each time. Rows are taken in
 * groups of four, and those that are left make a smaller one, so that a group's rows are computed together. A row takes 160 bytes for every
 * chunk of 32 inputs, inputs padded to whole blocks, and a group lies where its first row would: at row · rowBytes. In a
 * group, chunk after chunk:
 *   codes  16 bytes with the first four inputs of each row, then 16 with the next four of each row, and so on: signed bytes
 *   tails  32 bytes for each row. First the block's scale (f32). Then pairs of 16-bit integers: minus the sum of the codes
 *          of inputs 0 and 1 modulo 4, and minus that of the others; a dot product of bytes has its sums in such pairs.
 */

/** Inputs whose products are summed in integers. */
export const CHUNK: u32 = 32;
/** Bytes of a row's codes of a chunk. */
export const CODES_BYTES: u32 = 4 * CHUNK;
export const TAIL_BYTES: u32 = 32;

@inline
export function blockCount(inputSize: u32, blockSize: u32): u32 {
  return (inputSize + blockSize - 1) / blockSize;
}

@inline
export function quantizedRowBytes(inputSize: u32, blockSize: u32): u32 {
  return ((blockCount(inputSize, blockSize) * blockSize) / CHUNK) * (CODES_BYTES + TAIL_BYTES);
}

/** Rows of the next group when `left` rows remain. */
@inline
export function groupSize(left: u32): u32 {
  return min(left, 4);
}

/**
 * Rounds f32 rows `[rows, inputSize]` to int8 per block: code = round(x / scale), scale = largest |x| / 127. A NaN or an
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
  for (let row: u32 = 0; row < rows; ) {
    const group = groupSize(rows - row);
    for (let member: u32 = 0; member < group; member++) {
      quantizeRow(source, inputSize, blockSize, target + row * rowBytes, group, member);
      source += 4 * sourceStride;
    }
    row += group;
  }
}

function quantizeRow(
  source: usize,
  inputSize: u32,
  blockSize: u32,
  target: usize,
  group: u32,
  member: u32,
): void {
  const end = source + 4 * inputSize;
  while (source < end) {
    const blockEnd = min(source + 4 * blockSize, end);
    const scale = blockScale(source, blockEnd);
    for (let chunk: u32 = 0; chunk < blockSize; chunk += CHUNK) {
      const chunkEnd = min(source + 4 * CHUNK, blockEnd);
      quantizeChunk(source, chunkEnd, scale, target, group, member);
      source = chunkEnd;
      target += (CODES_BYTES + TAIL_BYTES) * group;
    }
  }
}

/** Writes a chunk of one row, filled up with zeros where the source ends early. */
function quantizeChunk(source: usize, end: usize, scale: f32, target: usize, group: u32, member: u32): void {
  const inverse = f32x4.splat(scale == 0 ? 0 : 1 / scale);
  const codesEnd = target + CODES_BYTES * group;
  let codes = target + 16 * member;
  let sums = i32x4.splat(0);
  for (; codes < codesEnd; codes += 16 * group) {
    let four = i32x4.splat(0);
    if (source < end) {
      four = i32x4.relaxed_trunc_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source), inverse)));
      sums = i32x4.add(sums, four);
      source += 16;
    }
    const words = i16x8.narrow_i32x4_s(four, four);
    v128.store(codes, i8x16.narrow_i16x8_s(words, words));
  }
  const tail = codesEnd + TAIL_BYTES * member;
  v128.store(tail, f32x4.splat(scale));
  const pairs = i32x4.neg(i32x4.add(sums, v128.shuffle<i32>(sums, sums, 1, 0, 3, 2)));
  const both = v128.shuffle<i32>(pairs, pairs, 0, 2, 0, 2);
  v128.store(tail, i16x8.narrow_i32x4_s(both, both), 16);
}

/** Largest |x| / 127. Compared as integers, which orders positive floats alike and puts NaN above all of them. */
function blockScale(source: usize, end: usize): f32 {
  let largest = i32x4.splat(0);
  for (; source < end; source += 16) largest = i32x4.max_s(largest, f32x4.abs(v128.load(source)));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 1, 0, 3, 2));
  return f32x4.extract_lane(largest, 0) / 127;
}
