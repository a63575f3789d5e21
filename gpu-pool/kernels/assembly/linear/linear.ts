/*
 * Quantised matrices times quantised activations. Weights are in layout tile8 (see tile8.ts), activations as quantize.ts
 * writes them. For a chunk of 32 inputs of one tile and one row,
 *   Σ (code − zeroPoint) · activation = Σ code · activation − zeroPoint · Σ activation
 * is computed exactly, in integers; it is scaled by weightScale · activationScale and added to an f32 accumulator, chunk
 * after chunk. So a row's result does not depend on the rows beside it nor on how tiles are shared out among threads.
 */
import { BLOCK_TAIL_BYTES, runsOf, tileTimesFourRows, tileTimesOneRow, tileTimesTwoRows } from './rows';
import { blockCount, CHUNK, groupSize, quantizedRowBytes } from './quantize';

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
  const stride: u32 = 4 * outputStride;
  for (let tile = tileBegin; tile < tileEnd; tile++) {
    const at = weights + tile * tileBytes;
    tileTimesRows(bits, at, inputSize, blockSize, activations, rows, output + 32 * tile, stride, false);
  }
}

/**
 * The first half of an expert: `output[m, n] = silu(gate[n] · x[m]) · (up[n] · x[m])` for the rows n of tiles
 * `[tileBegin, tileEnd)`. Parameters as those of `linear`.
 */
export function gateUp(
  bits: u32,
  gate: usize,
  up: usize,
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
  const stride: u32 = 4 * outputStride;
  for (let tile = tileBegin; tile < tileEnd; tile++) {
    const at = tile * tileBytes;
    const columns = output + 32 * tile;
    tileTimesRows(bits, up + at, inputSize, blockSize, activations, rows, columns, stride, false);
    tileTimesRows(bits, gate + at, inputSize, blockSize, activations, rows, columns, stride, true);
  }
}

@inline
function sizeOfTile(bits: u32, inputSize: u32, blockSize: u32): u32 {
  return blockCount(inputSize, blockSize) * (blockSize * bits + BLOCK_TAIL_BYTES);
}

function tileTimesRows(
  bits: u32,
  tile: usize,
  inputSize: u32,
  blockSize: u32,
  activations: usize,
  rows: u32,
  output: usize,
  stride: u32,
  gated: bool,
): void {
  const rowBytes = quantizedRowBytes(inputSize, blockSize);
  const blocks = blockCount(inputSize, blockSize);
  const chunks = blockSize / CHUNK;
  const runs = runsOf(bits);
  for (let row: u32 = 0; row < rows; ) {
    const group = groupSize(rows - row);
    for (let run: u32 = 0; run < runs; run++) {
      if (group == 4) tileTimesFourRows(bits, run, tile, blocks, chunks, activations, output, stride, gated);
      else if (group == 2) tileTimesTwoRows(bits, run, tile, blocks, chunks, activations, output, stride, gated);
      else tileTimesOneRow(bits, run, tile, blocks, chunks, activations, output, gated);
    }
    row += group;
    activations += group * rowBytes;
    output += group * stride;
  }
}
