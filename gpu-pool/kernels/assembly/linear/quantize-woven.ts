/*
 * Quantised activations as woven.ts reads them: the codes and scales of quantize.ts in the woven form. Rows are taken in groups of four,
 * and those that are left make a smaller one, which lies where its first row would. In a group, section after section of 64 inputs,
 * which are two chunks:
 *   codes  16 times 4 bytes of each row: two inputs of the first chunk and the same two of the second
 *   sums   4 bytes of each row: −8 times the sums of the codes of both chunks, as 16-bit integers
 * and behind the sections the scale (f32) of each row.
 */
import { CHUNK, codesOfFour, groupSize, paddedSize, storeScale } from './quantize';

/** Inputs of a section. */
const SECTION: u32 = 2 * CHUNK;
/** Bytes of a section of a row. */
const SECTION_ROW_BYTES: u32 = SECTION + 4;

@inline
export function sectionCount(inputSize: u32, blockSize: u32): u32 {
  return (paddedSize(inputSize, blockSize) + SECTION - 1) / SECTION;
}

@inline
export function wovenRowBytes(inputSize: u32, blockSize: u32): u32 {
  return sectionCount(inputSize, blockSize) * SECTION_ROW_BYTES + 4;
}

/** Rounds rows as `quantizeRows` does, to the woven form. */
export function quantizeWoven(
  source: usize,
  sourceStride: u32,
  rows: u32,
  inputSize: u32,
  blockSize: u32,
  target: usize,
): void {
  const sections = sectionCount(inputSize, blockSize);
  const rowBytes = wovenRowBytes(inputSize, blockSize);
  for (let row: u32 = 0; row < rows; ) {
    const group = groupSize(rows - row);
    const scales = target + row * rowBytes + group * sections * SECTION_ROW_BYTES;
    for (let member: u32 = 0; member < group; member++) {
      const end = source + 4 * inputSize;
      const inverse = storeScale(source, end, scales + 4 * member);
      let at = target + row * rowBytes + 4 * member;
      for (let section: u32 = 0; section < sections; section++) {
        weaveSection(source + 4 * SECTION * section, end, inverse, at, 4 * group);
        at += SECTION_ROW_BYTES * group;
      }
      source += 4 * sourceStride;
    }
    row += group;
  }
}

/** Writes a section of one row, filled up with zeros where the source ends early. */
function weaveSection(source: usize, end: usize, inverse: v128, target: usize, stride: u32): void {
  const middle = source + 4 * CHUNK;
  let sums = i32x4.splat(0);
  let otherSums = i32x4.splat(0);
  for (; source < middle; source += 16) {
    const other = source + 4 * CHUNK;
    const four = source < end ? codesOfFour(source, inverse) : i32x4.splat(0);
    const otherFour = other < end ? codesOfFour(other, inverse) : i32x4.splat(0);
    sums = i32x4.add(sums, four);
    otherSums = i32x4.add(otherSums, otherFour);
    const words = i16x8.narrow_i32x4_s(four, otherFour);
    const codes = i8x16.narrow_i16x8_s(words, words);
    const pairs = v128.shuffle<i16>(codes, codes, 0, 2, 1, 3, 0, 2, 1, 3);
    v128.store32_lane(target, pairs, 0);
    v128.store32_lane(target + stride, pairs, 1);
    target += 2 * stride;
  }
  const halves = i32x4.add(v128.shuffle<i32>(sums, otherSums, 0, 1, 4, 5), v128.shuffle<i32>(sums, otherSums, 2, 3, 6, 7));
  const both = i32x4.add(halves, v128.shuffle<i32>(halves, halves, 1, 0, 3, 2));
  const eighths = i32x4.shl(i32x4.neg(v128.shuffle<i32>(both, both, 0, 2, 0, 2)), 3);
  v128.store32_lane(target, i16x8.narrow_i32x4_s(eighths, eighths), 0);
}
