/* Steps of a tile: the queries of all its heads over a block of positions. */
import { readAhead } from '../read-ahead';
import { spreadNumbers } from './numbers';
import { scorePair } from './scores';
import { largestOf, sumsOf, weightsOf } from './parts';
import { scaleWeights, weighScores } from './softmax';
import { scalesBytes } from './stored-rows';
import { codesAt, scalesAt, seenBy, Tile } from './tile';
import { addPair } from './values';

/**
 * Scores of `count` positions from `begin` on; what a query does not see is overwritten later.
 * @param rows the stored keys of `begin`
 * @param next what is read meanwhile beside the first pairs of all heads, as much as the block has
 */
export function scoreBlock(tile: Tile, rows: usize, begin: u32, count: u32, next: usize): void {
  const headSize = tile.headSize;
  const scales = tile.scales;
  const scoreBytes = tile.scoreBytes;
  const firstScores = tile.scores + 4 * (begin - tile.begin);
  let read = i32x4.splat(0);
  for (let head: u32 = 0; head < tile.heads; head++) {
    const codes = codesAt(tile, rows, head);
    prepareHead(tile, rows, head, count);
    let beside = next + 2 * head * headSize * count;
    for (let pair: u32 = 0; pair < tile.pairs; pair++) {
      const seen = seenOfBlock(tile, pair, begin, count);
      if (seen == 0) continue;
      const index = head * tile.pairs + pair;
      const queries = tile.queries + 8 * index * headSize;
      const scores = firstScores + 2 * index * scoreBytes;
      if (tile.isDirect) {
        read = v128.or(
          read,
          scorePair<i16>(queries, headSize, codes, tile.tokenBytes, scales, seen, scores, scoreBytes, beside),
        );
        beside = tile.numbers;
      } else scorePair<f32>(queries, headSize, tile.numbers, 4 * headSize, scales, seen, scores, scoreBytes, 0);
    }
  }
  finishReading(tile, read, next, count);
}

/** Makes weights of the segment's scores. */
export function weighSegment(tile: Tile): void {
  const count = tile.end - tile.begin;
  const queries = tile.rows * tile.group;
  for (let head: u32 = 0; head < tile.heads; head++) {
    for (let query: u32 = 0; query < queries; query++) {
      const index = 2 * head * tile.pairs + query;
      const seen = max(seenBy(tile, query), tile.begin) - tile.begin;
      weighScores(
        tile.scores + index * tile.scoreBytes,
        min(seen, count),
        (count + 7) & ~7,
        tile.decay,
        largestOf(tile, tile.part) + 4 * index,
        weightsOf(tile, tile.part) + 4 * index,
      );
    }
  }
}

/** Adds weight · value of `count` positions from `begin` on. Their weights end here. Parameters as of `scoreBlock`. */
export function addBlock(tile: Tile, rows: usize, begin: u32, count: u32, next: usize): void {
  const headSize = tile.headSize;
  const scoreBytes = tile.scoreBytes;
  const firstWeights = tile.scores + 4 * (begin - tile.begin);
  const firstSums = sumsOf(tile, tile.part);
  let read = i32x4.splat(0);
  for (let head: u32 = 0; head < tile.heads; head++) {
    const codes = codesAt(tile, rows, head);
    prepareHead(tile, rows, head, count);
    let beside = next + 2 * head * headSize * count;
    for (let pair: u32 = 0; pair < tile.pairs; pair++) {
      const seen = seenOfBlock(tile, pair, begin, count);
      if (seen == 0) continue;
      const index = head * tile.pairs + pair;
      const sums = firstSums + 8 * index * headSize;
      const weights = firstWeights + 2 * index * scoreBytes;
      scaleWeights(weights, tile.scales, seen);
      scaleWeights(weights + scoreBytes, tile.scales, seen);
      if (tile.isDirect) {
        read = v128.or(
          read,
          addPair<i16>(weights, scoreBytes, codes, tile.tokenBytes, seen, headSize, sums, beside),
        );
        beside = tile.numbers;
      } else addPair<f32>(weights, scoreBytes, tile.numbers, 4 * headSize, seen, headSize, sums, 0);
    }
  }
  finishReading(tile, read, next, count);
}

/** How many of `count` positions from `begin` on a pair sees. */
@inline
function seenOfBlock(tile: Tile, pair: u32, begin: u32, count: u32): u32 {
  if (tile.rows == 1) return count;
  const last = min(2 * pair + 1, tile.rows * tile.group - 1);
  const seen = seenBy(tile, last);
  return seen > begin ? min(seen - begin, count) : 0;
}

/** Puts the scales of a head side by side, beyond the last position the last one again, and its numbers where pairs read them there. */
function prepareHead(tile: Tile, rows: usize, head: u32, count: u32): void {
  const tokenBytes = tile.tokenBytes;
  let scales = scalesAt(tile, rows, head);
  const last = scales + (count - 1) * tokenBytes;
  for (let position: u32 = 0; position < count; position += 4) {
    let four = v128.load32_splat(scales);
    four = v128.load32_lane(min(scales + tokenBytes, last), four, 1);
    four = v128.load32_lane(min(scales + 2 * tokenBytes, last), four, 2);
    four = v128.load32_lane(min(scales + 3 * tokenBytes, last), four, 3);
    v128.store(tile.scales + 4 * position, four);
    scales += 4 * tokenBytes;
  }
  if (!tile.isDirect) spreadNumbers(codesAt(tile, rows, head), tokenBytes, count, tile.headSize, tile.numbers);
}

/** Reads what a block has beyond its codes. */
function finishReading(tile: Tile, read: v128, next: usize, count: u32): void {
  // What is never used would never be read.
  v128.store(tile.unused, read);
  const codesBytes = 2 * tile.heads * tile.headSize * count;
  readAhead(next + codesBytes, count * scalesBytes(tile.kvHeads), tile.unused);
}

/** Reads the heads of a block of positions, and their scales. */
export function readBlock(tile: Tile, rows: usize, count: u32): void {
  const tokenBytes = tile.tokenBytes;
  if (tile.heads == tile.kvHeads) return readAhead(rows, count * tokenBytes, tile.unused);
  for (let position: u32 = 0; position < count; position++) {
    readAhead(scalesAt(tile, rows, 0), 4 * tile.heads, tile.unused);
    readAhead(codesAt(tile, rows, 0), 2 * tile.heads * tile.headSize, tile.unused);
    rows += tokenBytes;
  }
}
