/*
 * The inner loops of linear.ts: one tile of 8 outputs times one to four rows of activations.
 *
 * Products are summed over a chunk of 32 inputs in integers, exactly, in one of two ways:
 *   wide    four products at a time into 32 bits: one instruction where V8 has it (x86 with AVX-VNNI)
 *   narrow  two products at a time into 16 bits, in which the chunk's 8 pairs of products with 4-bit codes fit: two
 *           instructions everywhere. 8-bit codes are taken as a low and a high half of 4 bits each.
 * Both give the same integers, so results do not depend on the machine.
 *
 * A vector of 16 codes belongs to four rows of the tile. From each vector that is loaded, two are made, `low` and `high`:
 *   int4         the low halves are rows 0 to 3, the high halves rows 4 to 7
 *   int8 wide    rows 0 to 3 as they are, and rows 4 to 7 from the second half of the chunk
 *   int8 narrow  the low and high halves of rows 0 to 3 in a first run over the tile, those of rows 4 to 7 in a second
 *
 * Of two to four rows, V8 puts what belongs to the first two into vectors of 256 bits, and likewise that of the next two, where it
 * may (see wide-vectors.ts).
 *
 * Each loop is compiled for every kind of codes, `C`, and of sums, `S`. What it needs in the way of constant vectors it
 * makes from `one()`. It takes one vector of codes per turn, because V8 unrolls it by itself without mixing up turns: with
 * two per turn, values outnumber the registers.
 */
import { Int4, Int8, wideDot } from './codes';
import { fourRows } from './four-rows';
import { oneRow } from './one-row';
import { threeRows } from './three-rows';
import { twoRows } from './two-rows';

/** Runs over a tile that a group needs: 8-bit codes in halves take one for each half of the tile. */
export function runsOf(bits: u32): u32 {
  return bits == 8 && !wideDot ? 2 : 1;
}

/**
 * @param group rows, 1 to 4
 * @param run 0 … `runsOf(bits)` − 1
 * @param chunks of a block
 * @param x activations of the group
 * @param stride bytes from one row of the output to the next
 */
export function tileTimesRows(
  group: u32,
  bits: u32,
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
): void {
  if (bits == 4) {
    if (wideDot) timesRows<Int4, i32>(group, run, tile, blocks, chunks, x, output, stride);
    else timesRows<Int4, i16>(group, run, tile, blocks, chunks, x, output, stride);
  } else {
    if (wideDot) timesRows<Int8, i32>(group, run, tile, blocks, chunks, x, output, stride);
    else timesRows<Int8, i16>(group, run, tile, blocks, chunks, x, output, stride);
  }
}

function timesRows<C, S>(
  group: u32,
  run: u32,
  tile: usize,
  blocks: u32,
  chunks: u32,
  x: usize,
  output: usize,
  stride: u32,
): void {
  if (group == 4) fourRows<C, S>(run, tile, blocks, chunks, x, output, stride);
  else if (group == 3) threeRows<C, S>(run, tile, blocks, chunks, x, output, stride);
  else if (group == 2) twoRows<C, S>(run, tile, blocks, chunks, x, output, stride);
  else oneRow<C, S>(run, tile, blocks, chunks, x, output);
}
