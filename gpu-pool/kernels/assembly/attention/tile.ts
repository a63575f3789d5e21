import { DECAY_BYTES, writeDecay } from '../simd';
import { scalesBytes, storedRowBytes } from './stored-rows';

/**
 * Positions whose scores have a softmax and weighted values of their own, which are joined in the order of the segments (parts.ts).
 * So threads can share a sequence's segments and give the same bits as one that takes them all. A multiple of the largest block.
 */
export const SEGMENT: u32 = 512;
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
 *   total    of the segments that are done, parts.ts; it may lie elsewhere
 *   spare    of the segment at hand, laid out alike, where there are others before it
 *   keep     `[pairs, 2]`           what total and part are multiplied by when they are joined
 *   take     `[pairs, 2]`
 *   scores   `[pairs, 2, segment]`  later weights; rows of an odd number of lines, so that they do not compete for places in a cache
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
  /** Of a number for each query. */
  listBytes: u32;
  /** Positions of the segment at hand. */
  begin: u32;
  end: u32;
  /** Whether pairs read numbers as they are stored. */
  isDirect: bool;
  /** Whether a block is read as a whole before it is computed; else it is read while the one before is computed. */
  readsFirst: bool;
  unused: usize;
  decay: usize;
  scales: usize;
  numbers: usize;
  queries: usize;
  /** Where the segment at hand is written. */
  part: usize;
  total: usize;
  spare: usize;
  keep: usize;
  take: usize;
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
  tile.scoreBytes = LINE * (lines(4 * min(length, SEGMENT)) | 1);
  tile.listBytes = LINE * lines(8 * heads * tile.pairs);
  placeParts(tile, scratch);
  return tile;
}

function placeParts(tile: Tile, scratch: usize): void {
  tile.unused = scratch + HEADER_BYTES - 16;
  tile.decay = scratch + HEADER_BYTES;
  writeDecay(tile.decay);
  tile.scales = tile.decay + LINE * lines(DECAY_BYTES);
  tile.numbers = tile.scales + 4 * MAXIMUM_BLOCK;
  tile.queries = tile.numbers + max(NUMBERS_BYTES, 4 * MINIMUM_BLOCK * tile.headSize);
  tile.total = tile.queries + sumsBytes(tile);
  tile.spare = tile.total + partBytes(tile);
  tile.keep = tile.spare + partBytes(tile);
  tile.take = tile.keep + tile.listBytes;
  tile.scores = tile.take + tile.listBytes;
}

@inline
function lines(bytes: u32): u32 {
  return (bytes + LINE - 1) / LINE;
}

/** Bytes of a segment's part. */
@inline
export function partBytes(tile: Tile): u32 {
  return 2 * tile.listBytes + sumsBytes(tile);
}

/** Bytes of a number for each number of all queries. */
@inline
export function sumsBytes(tile: Tile): u32 {
  return 8 * tile.heads * tile.pairs * tile.headSize;
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
