/*
 * Attention over a token-major cache of `[length]` stored rows (stored-rows.ts). What one pass through the cache is for is a tile
 * (tile.ts): in decoding all heads of a row; of several rows some, and one head, whose keys and values the second-level cache holds.
 * Positions are taken in blocks, and a block for all queries of a tile before the next: so the cache is read through once from front
 * to back, as memory likes it.
 * Sums run over the numbers of a head, and over positions, in one order whatever the tiles and blocks, so a result depends on nothing
 * but its inputs.
 */
import { addBlock, readBlock, scoreBlock, weighTile } from './blocks';
import { prepareQueries, writeOutputs } from './queries';
import { layOutTile, Tile, TILE_QUERIES } from './tile';

/**
 * Causal attention of the newest `rows` positions of one sequence for the key-value heads `[kvHeadBegin, kvHeadEnd)` and
 * the query heads that go with them: row i sees positions `[0, length − rows + i]`. Decoding is one row.
 * @param queries `[rows, heads · D]`
 * @param keys `[length]` stored rows, the new ones included; so are `values`
 * @param headSize D, a multiple of 16
 * @param scale of the scores, usually 1 / √D
 * @param output `[rows, heads · D]`
 * @param scratch as laid out in tile.ts, which no other thread uses
 */
export function attend(
  queries: usize,
  rows: u32,
  keys: usize,
  values: usize,
  length: u32,
  kvHeadBegin: u32,
  kvHeadEnd: u32,
  heads: u32,
  kvHeads: u32,
  headSize: u32,
  scale: f32,
  output: usize,
  scratch: usize,
): void {
  const rowBytes: u32 = 4 * heads * headSize;
  const group = heads / kvHeads;
  const rowStep = max(TILE_QUERIES / group, 1);
  const headStep = rows == 1 ? kvHeadEnd - kvHeadBegin : 1;
  for (let begin = kvHeadBegin; begin < kvHeadEnd; begin += headStep) {
    for (let row: u32 = 0; row < rows; row += rowStep) {
      const taken = min(rowStep, rows - row);
      const seen = length - rows + row + taken;
      const tile = layOutTile(scratch, taken, seen, begin, headStep, group, kvHeads, headSize);
      const at = row * rowBytes;
      prepareQueries(tile, queries + at, rowBytes, scale);
      attendTile(tile, keys, values);
      writeOutputs(tile, output + at, rowBytes);
    }
  }
}

function attendTile(tile: Tile, keys: usize, values: usize): void {
  const length = tile.length;
  const block = tile.block;
  for (let begin: u32 = 0; begin < length; begin += block) {
    const count = min(length - begin, block);
    const rows = keys + begin * tile.tokenBytes;
    if (tile.readsFirst) readBlock(tile, rows, count);
    scoreBlock(tile, rows, begin, count, readMeanwhile(tile, keys, begin, values));
  }
  weighTile(tile);
  for (let begin: u32 = 0; begin < length; begin += block) {
    const count = min(length - begin, block);
    const rows = values + begin * tile.tokenBytes;
    if (tile.readsFirst) readBlock(tile, rows, count);
    addBlock(tile, rows, begin, count, readMeanwhile(tile, values, begin, tile.numbers));
  }
}

/**
 * What is read while the block at `begin` is computed, as much as it has: the next one, which a loop that computes would wait for.
 * @param after what is read behind the last one
 */
function readMeanwhile(tile: Tile, rows: usize, begin: u32, after: usize): usize {
  const block = tile.block;
  // Scratch memory, which is at hand, where there is nothing to be read, or less than the kernels would read.
  if (tile.readsFirst || begin + block > tile.length) return tile.numbers;
  const left = tile.length - begin - block;
  return left == 0 ? after : rows + (begin + min(block, left)) * tile.tokenBytes;
}
