/*
 * Quantised matrices times quantised activations. Weights are in layout tile8 (see tile8.ts), activations as quantize.ts
 * writes them in groups. A weight is rowScale · step · (code − zeroPoint), an activation xScale · code, so for one tile and one
 * row
 *   Σ weight · activation = rowScale · xScale · Σ_blocks step · (Σ code · activation − zeroPoint · Σ activation)
 * in which all sums are integers, computed exactly. So a row's result does not depend on the rows beside it, on how tiles are
 * shared out among threads, nor on what computed the integers: see products.ts.
 */
import { BLOCK_TAIL_BYTES, ROW_SCALES_BYTES } from './layout';
import { runsOf, tileTimesRows } from './rows';
import { blockCount, CHUNK, groupSize, quantizedRowBytes } from './quantize';

/**
 * Bytes of the weights that all rows are multiplied with before the next: they stay in the second-level cache, and a group of
 * rows in the first. The other way round, rows, which take more bytes than weights, would come from the second.
 */
const BLOCK_BYTES: u32 = 262_144;

/**
 * `output[m, n] = Σ_k weights[n, k] · activations[m, k]` for the rows n of tiles `[tileBegin, tileEnd)`.
 * @param bits 4 or 8
 * @param inputSize K
 * @param output f32; all 8 columns of every tile are written
 * @param outputStride floats from one row to the next
 */
export function linear(
  bits: u32,
  weights: usize,
  inputSize: u32,
  blockSize: u32,
  tileBegin: u32,
  tileEnd: u32,
  activations: usize,
  rows: u32,
  output: usize,
  outputStride: u32,
): void {
  const tileBytes = sizeOfTile(bits, inputSize, blockSize);
  const rowBytes = quantizedRowBytes(inputSize, blockSize);
  const stride: u32 = 4 * outputStride;
  const block = max(1, BLOCK_BYTES / tileBytes);
  for (let begin = tileBegin; begin < tileEnd; begin += block) {
    const end = min(begin + block, tileEnd);
    for (let row: u32 = 0; row < rows; ) {
      const group = groupSize(rows - row);
      const x = activations + row * rowBytes;
      for (let tile = begin; tile < end; tile++) {
        const columns = output + row * stride + 32 * tile;
        tileTimesGroup(bits, weights + tile * tileBytes, inputSize, blockSize, x, group, columns, stride);
      }
      row += group;
    }
  }
}

@inline
export function sizeOfTile(bits: u32, inputSize: u32, blockSize: u32): u32 {
  return blockCount(inputSize, blockSize) * (blockSize * bits + BLOCK_TAIL_BYTES) + ROW_SCALES_BYTES;
}

function tileTimesGroup(
  bits: u32,
  tile: usize,
  inputSize: u32,
  blockSize: u32,
  activations: usize,
  group: u32,
  output: usize,
  stride: u32,
): void {
  const blocks = blockCount(inputSize, blockSize);
  const chunks = blockSize / CHUNK;
  const runs = runsOf(bits);
  for (let run: u32 = 0; run < runs; run++) {
    tileTimesRows(group, bits, run, tile, blocks, chunks, activations, output, stride);
  }
}
