/*
 * What a product of whole integer matrices elsewhere needs around it. Where many rows meet one matrix, ONNX Runtime's is faster
 * than rows.ts, and without vectors of 256 bits than woven.ts too. It wants weights as signed bytes, input by input, and gives the
 * same integers.
 */
import { one } from '../simd';
import { writeFour } from './codes';
import { BLOCK_TAIL_BYTES, ROW_SCALES_BYTES } from './layout';
import { sizeOfTile } from './linear';
import { blockCount, CHUNK, paddedSize, plainScales } from './quantize';

/**
 * Tiles that are spread together, a chunk of inputs at a time: their outputs of one input fill a cache line, and more lines than a
 * chunk has inputs would push each other out of the first-level cache, since they lie a power of two apart.
 */
const SPREAD_TILES: u32 = 8;

/**
 * Writes tiles `[tileBegin, tileEnd)` of a 4-bit matrix as step · (code − zeroPoint): `[inputs padded to blocks, stride]`
 * signed bytes, the first tile in the first 8 columns.
 * @param stride bytes from one input to the next
 */
export function spread(
  weights: usize,
  inputSize: u32,
  blockSize: u32,
  tileBegin: u32,
  tileEnd: u32,
  target: usize,
  stride: u32,
): void {
  const tileBytes = sizeOfTile(4, inputSize, blockSize);
  const blocks = blockCount(inputSize, blockSize);
  const blockBytes = 4 * blockSize + BLOCK_TAIL_BYTES;
  const chunks = blockSize / CHUNK;
  for (let begin = tileBegin; begin < tileEnd; begin += SPREAD_TILES) {
    const end = min(begin + SPREAD_TILES, tileEnd);
    for (let block: u32 = 0; block < blocks; block++) {
      for (let chunk: u32 = 0; chunk < chunks; chunk++) {
        const input = block * blockSize + chunk * CHUNK;
        for (let tile = begin; tile < end; tile++) {
          const codes = weights + tile * tileBytes + block * blockBytes;
          const columns = target + input * stride + 8 * (tile - tileBegin);
          spreadChunk(codes + chunk * 4 * CHUNK, codes + 4 * blockSize, columns, stride);
        }
      }
    }
  }
}

/** Input by input: in 16 codes the four inputs of a row lie together. */
const TRANSPOSED = i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);

function spreadChunk(codes: usize, tail: usize, target: usize, stride: u32): void {
  const end = codes + 4 * CHUNK;
  // See `one`.
  const order = v128.or(TRANSPOSED, i8x16.splat(<i8>(one() - 1)));
  const mask = i8x16.splat(<i8>(15 * one()));
  // Pairs of a step and its negative, to be multiplied with pairs of a code and its zero point.
  const odd = i16x8.splat(<i16>(-256 * one()));
  const steps = i8x16.sub(v128.xor(v128.load(tail), odd), odd);
  const pairs = v128.load(tail, 16);
  const zeroPoints = i8x16.narrow_i16x8_u(i16x8.shr_u(pairs, 8), i16x8.shr_u(pairs, 8));
  for (; codes < end; codes += 16) {
    const packed = i8x16.relaxed_swizzle(v128.load(codes), order);
    const low = v128.and(packed, mask);
    const high = v128.and(i16x8.shr_u(packed, 4), mask);
    const firstTwo = v128.shuffle<i32>(low, high, 0, 4, 1, 5);
    storeTwo(firstTwo, steps, zeroPoints, target, stride);
    const lastTwo = v128.shuffle<i32>(low, high, 2, 6, 3, 7);
    storeTwo(lastTwo, steps, zeroPoints, target + 2 * stride, stride);
    target += 4 * stride;
  }
}

/** Stores the weights of 8 rows for two inputs. */
@inline
function storeTwo(codes: v128, steps: v128, zeroPoints: v128, target: usize, stride: u32): void {
  const first = v128.shuffle<i8>(codes, zeroPoints, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const second = v128.shuffle<i8>(codes, zeroPoints, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const both = i8x16.narrow_i16x8_s(v128.relaxed_dot<i16>(steps, first), v128.relaxed_dot<i16>(steps, second));
  v128.store64_lane(target, both, 0);
  v128.store64_lane(target + stride, both, 1);
}

/**
 * Outputs of a 4-bit matrix from sums: `output[m, n] = sums[m, n] · rowScale[n] · xScale[m]` for the rows n of tiles `[tileBegin, tileEnd)`.
 * @param sums int32, those of the first tile in the first 8 columns
 * @param sumsStride integers from one row to the next
 * @param plain activations, which have the scales behind them
 * @param output f32, as for `linear`: the columns of tile 0 first
 */
export function scaleSums(
  sums: usize,
  sumsStride: u32,
  weights: usize,
  inputSize: u32,
  blockSize: u32,
  tileBegin: u32,
  tileEnd: u32,
  plain: usize,
  rows: u32,
  output: usize,
  outputStride: u32,
): void {
  const tileBytes = sizeOfTile(4, inputSize, blockSize);
  const xScales = plainScales(plain, rows, paddedSize(inputSize, blockSize));
  for (let row: u32 = 0; row < rows; row++) {
    const xScale = v128.load32_splat(xScales + 4 * row);
    let from = sums + 4 * row * sumsStride;
    for (let tile = tileBegin; tile < tileEnd; tile++) {
      const scales = weights + (tile + 1) * tileBytes - ROW_SCALES_BYTES;
      const target = output + 4 * (row * outputStride + 8 * tile);
      writeFour(target, v128.load(from), scales, xScale);
      writeFour(target + 16, v128.load(from, 16), scales + 16, xScale);
      from += 32;
    }
  }
}
