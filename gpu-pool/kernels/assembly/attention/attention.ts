/*
 * Attention over a token-major cache of `[length]` stored rows (stored-rows.ts). What one pass through the cache is for is a tile
 * (tile.ts): in decoding all heads of a row; of several rows some, and one head, whose keys and values the second-level cache holds.
 * Positions are taken in segments, and those in blocks, a block for all queries of a tile before the next: so the cache is read through
 * once from front to back, as memory likes it. Threads may share the segments of a row that decodes.
 * Sums run over the numbers of a head, over the positions of a segment and over segments in one order whatever the tiles and blocks, so
 * a result depends on nothing but its inputs.
 */
import { addBlock, readBlock, scoreBlock, weighSegment } from './blocks';
import { clearSums, joinPart } from './parts';
import { prepareQueries, writeOutputs } from './queries';
import { layOutTile, partBytes, SEGMENT, Tile, TILE_QUERIES } from './tile';

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

/**
 * Attention of one row over segments `[segmentBegin, segmentEnd)` of what it sees, for all heads: their parts, which `joinSegments` makes
 * the row's output of. Parameters as of `attend`.
 * @param parts one behind the other, from segment 0 on
 */
export function attendSegments(
  queries: usize,
  keys: usize,
  values: usize,
  length: u32,
  segmentBegin: u32,
  segmentEnd: u32,
  heads: u32,
  kvHeads: u32,
  headSize: u32,
  scale: f32,
  parts: usize,
  scratch: usize,
): void {
  const tile = layOutTile(scratch, 1, length, 0, kvHeads, heads / kvHeads, kvHeads, headSize);
  prepareQueries(tile, queries, 0, scale);
  for (let segment = segmentBegin; segment < segmentEnd; segment++) {
    tile.part = parts + segment * partBytes(tile);
    attendSegment(tile, keys, values, segment * SEGMENT, tile.numbers);
  }
}

/** What `attend` gives for one row, of the parts of all its segments, which are used up. */
export function joinSegments(
  parts: usize,
  length: u32,
  heads: u32,
  kvHeads: u32,
  headSize: u32,
  output: usize,
  scratch: usize,
): void {
  const tile = layOutTile(scratch, 1, length, 0, kvHeads, heads / kvHeads, kvHeads, headSize);
  tile.total = parts;
  for (let begin = SEGMENT; begin < length; begin += SEGMENT) {
    parts += partBytes(tile);
    tile.begin = begin;
    joinPart(tile, parts);
  }
  writeOutputs(tile, output, 0);
}

function attendTile(tile: Tile, keys: usize, values: usize): void {
  const length = tile.length;
  const block = tile.block;
  for (let begin: u32 = 0; begin < length; begin += SEGMENT) {
    // Behind the last block the next segment is read, and before its beginning where it has less than a block.
    const end = begin + SEGMENT;
    const next = end < length ? keys + (end + min(block, length - end) - block) * tile.tokenBytes : tile.numbers;
    tile.part = begin == 0 ? tile.total : tile.spare;
    attendSegment(tile, keys, values, begin, next);
    if (begin > 0) joinPart(tile, tile.part);
  }
}

/**
 * Makes the part of the segment that begins at `begin`.
 * @param next what is read beside its last block
 */
function attendSegment(tile: Tile, keys: usize, values: usize, begin: u32, next: usize): void {
  const end = min(begin + SEGMENT, tile.length);
  tile.begin = begin;
  tile.end = end;
  clearSums(tile, tile.part);
  const block = tile.block;
  const firstValues = values + begin * tile.tokenBytes;
  for (let at = begin; at < end; at += block) {
    const count = min(end - at, block);
    const rows = keys + at * tile.tokenBytes;
    if (tile.readsFirst) readBlock(tile, rows, count);
    scoreBlock(tile, rows, at, count, readMeanwhile(tile, rows, at, firstValues));
  }
  weighSegment(tile);
  for (let at = begin; at < end; at += block) {
    const count = min(end - at, block);
    const rows = values + at * tile.tokenBytes;
    if (tile.readsFirst) readBlock(tile, rows, count);
    addBlock(tile, rows, at, count, readMeanwhile(tile, rows, at, next));
  }
}

/**
 * What is read while the block at `begin` is computed, as much as it has: the next one, which a loop that computes would wait for.
 * @param rows the block's own
 * @param after what is read behind the last one of a segment
 */
function readMeanwhile(tile: Tile, rows: usize, begin: u32, after: usize): usize {
  const block = tile.block;
  // Scratch memory, which is at hand, where there is nothing to be read, or less than the kernels would read.
  if (tile.readsFirst || begin + block > tile.end) return tile.numbers;
  const left = tile.end - begin - block;
  return left == 0 ? after : rows + min(block, left) * tile.tokenBytes;
}
