import { DECAY_BYTES, writeDecay } from '../simd';
import { scalesBytes, storedRowBytes } from './stored-rows';

/** Queries of a tile where several rows share what is read. */
export const TILE_QUERIES: u32 = 32;
/** Pairs of a head up to which it costs less to spread its numbers for each of them than once for all to memory. */
const DIRECT_PAIRS: u32 = 4;
/** Bytes of the spread numbers of a block: they fit the first-level cache. */
const NUMBERS_BYTES: u32 = 16_384;
/** Bytes of the stored rows of a block in decoding: it fits there beside the next one, which is read meanwhile. */
const READ_BYTES: u32 = 8_704;
/** Positions of a block, multiples of 4. */
const MINIMUM_BLOCK: u32 = 8;
const MAXIMUM_BLOCK: u32 = 64;
/** A cache line. */
const LINE: u32 = 64;
/** Of this object, with room to spare; 16 more bytes are written and never read. */
const HEADER_BYTES: u32 = 2 * LINE;

/**
 * What one pass through the cache is for: the queries of a few rows that go with some key-value heads. Those of a head are taken in
 * pairs; where their number is odd, zeros join the last one. Numbers stand in lane order (numbers.ts).
 * It lies at the beginning of the scratch memory, before its parts:
 *   decay    constants of softmax
 *   scales   `[64]`                 of a head's rows in a block
 *   numbers  `[block, D]`           keys or values of a head, spread to floats
 *   queries  `[pairs, D / 8, 2, 8]` scaled
 *   sums     `[pairs, D / 8, 2, 8]` weighted values
 *   norms    `[pairs, 2]`           one over the sum of a query's weights
 *   scores   `[pairs, 2, length]`   later weights; rows of an odd number of lines, so that they do not compete for places in a cache
 */
@unmanaged
export class Tile {
  rows: u32;
  /** Positions that the last row sees. */
  length: u32;
  kvHeadBegin: u32;
  /** Key-value heads. */
  heads: u32;
  /** Query heads of a key-value head. */
  group: u32;
  kvHeads: u32;
  headSize: u32;
  /** Of a key-value head. */
  pairs: u32;
  tokenBytes: u32;
  /** Positions of a block. */
  block: u32;
  /** From one query's scores to the next. */
  scoreBytes: u32;
  /** Whether pairs read numbers as they are stored. */
  isDirect: bool;
  /** Whether a block is read as a whole before it is computed; else it is read while the one before is computed. */
  readsFirst: bool;
  unused: usize;
  decay: usize;
  scales: usize;
  numbers: usize;
  queries: usize;
  sums: usize;
  norms: usize;
  scores: usize;
}

/** Lays out `attentionScratchBytes` (kernels/sizes.ts) at most. */
export function layOutTile(
  scratch: usize,
  rows: u32,
  length: u32,
  kvHeadBegin: u32,
  heads: u32,
  group: u32,
  kvHeads: u32,
  headSize: u32,
): Tile {
  const tile = changetype<Tile>(scratch);
  tile.rows = rows;
  tile.length = length;
  tile.kvHeadBegin = kvHeadBegin;
  tile.heads = heads;
  tile.group = group;
  tile.kvHeads = kvHeads;
  tile.headSize = headSize;
  tile.pairs = (rows * group + 1) / 2;
  tile.tokenBytes = storedRowBytes(kvHeads, headSize);
  tile.isDirect = tile.pairs <= DIRECT_PAIRS;
  // Where several rows read the same, a cache holds it. Parts of rows are no stretch that can be read beside something else.
  tile.readsFirst = rows == 1 && (heads < kvHeads || !tile.isDirect);
  const spread = NUMBERS_BYTES / (4 * headSize);
  const block = rows == 1 ? min(spread, READ_BYTES / tile.tokenBytes) : spread;
  tile.block = max(min(block & ~3, MAXIMUM_BLOCK), MINIMUM_BLOCK);
  tile.scoreBytes = LINE * (lines(4 * length) | 1);
  placeParts(tile, scratch);
  return tile;
}

function placeParts(tile: Tile, scratch: usize): void {
  const pairs = tile.heads * tile.pairs;
  const headSize = tile.headSize;
  tile.unused = scratch + HEADER_BYTES - 16;
  tile.decay = scratch + HEADER_BYTES;
  writeDecay(tile.decay);
  tile.scales = tile.decay + LINE * lines(DECAY_BYTES);
  tile.numbers = tile.scales + 4 * MAXIMUM_BLOCK;
  tile.queries = tile.numbers + max(NUMBERS_BYTES, 4 * MINIMUM_BLOCK * headSize);
  tile.sums = tile.queries + 8 * pairs * headSize;
  tile.norms = tile.sums + 8 * pairs * headSize;
  tile.scores = tile.norms + LINE * lines(8 * pairs);
}

@inline
function lines(bytes: u32): u32 {
  return (bytes + LINE - 1) / LINE;
}

/** Positions that a query of a head sees. */
@inline
export function seenBy(tile: Tile, query: u32): u32 {
  return tile.length - tile.rows + 1 + query / tile.group;
}

/** Where a head's scales lie in the stored rows from `rows` on. */
@inline
export function scalesAt(tile: Tile, rows: usize, head: u32): usize {
  return rows + 4 * (tile.kvHeadBegin + head);
}

/** Where a head's codes lie in them. */
@inline
export function codesAt(tile: Tile, rows: usize, head: u32): usize {
  return rows + scalesBytes(tile.kvHeads) + 2 * (tile.kvHeadBegin + head) * tile.headSize;
}
