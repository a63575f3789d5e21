/*
 * What a segment of positions makes of the queries of a tile, and how two of them are joined: of each query
 *   largest  f32 `[pairs, 2]`           its largest score
 *   weights  f32 `[pairs, 2]`           the sum of e^(score − largest)
 *   sums     f32 `[pairs, D / 8, 2, 8]` the values weighted by that
 */
import { decay, multiplyAdd } from '../simd';
import { seenBy, sumsBytes, Tile } from './tile';

@inline
export function largestOf(_tile: Tile, part: usize): usize {
  return part;
}

@inline
export function weightsOf(tile: Tile, part: usize): usize {
  return part + tile.listBytes;
}

@inline
export function sumsOf(tile: Tile, part: usize): usize {
  return part + 2 * tile.listBytes;
}

/** Where a query's numbers begin among those of pairs. */
@inline
export function offsetOf(index: u32, headBytes: u32): u32 {
  return 2 * (index / 2) * headBytes + 32 * (index & 1);
}

/** Clears the sums of a part. */
export function clearSums(tile: Tile, part: usize): void {
  memory.fill(sumsOf(tile, part), 0, sumsBytes(tile));
}

/** Joins the tile's total with the part of the segment at hand, of the queries that see something of it. */
export function joinPart(tile: Tile, part: usize): void {
  const total = tile.total;
  const headBytes: u32 = 4 * tile.headSize;
  const queries = tile.rows * tile.group;
  joinWeights(tile, part);
  for (let head: u32 = 0; head < tile.heads; head++) {
    for (let query: u32 = 0; query < queries; query++) {
      if (seenBy(tile, query) <= tile.begin) continue;
      const index = 2 * head * tile.pairs + query;
      const offset = offsetOf(index, headBytes);
      const keep = v128.load32_splat(tile.keep + 4 * index);
      const take = v128.load32_splat(tile.take + 4 * index);
      joinSums(sumsOf(tile, total) + offset, keep, sumsOf(tile, part) + offset, take, headBytes);
    }
  }
}

/** Joins largest scores and sums of weights, and leaves what the sums of both are to be multiplied by. */
function joinWeights(tile: Tile, part: usize): void {
  const total = tile.total;
  for (let at: u32 = 0; at < tile.listBytes; at += 16) {
    const before = v128.load(largestOf(tile, total) + at);
    const added = v128.load(largestOf(tile, part) + at);
    const largest = f32x4.pmax(before, added);
    const keep = decay(f32x4.sub(before, largest), tile.decay);
    const take = decay(f32x4.sub(added, largest), tile.decay);
    const more = f32x4.mul(v128.load(weightsOf(tile, part) + at), take);
    const weights = multiplyAdd(v128.load(weightsOf(tile, total) + at), keep, more);
    v128.store(largestOf(tile, total) + at, largest);
    v128.store(weightsOf(tile, total) + at, weights);
    v128.store(tile.keep + at, keep);
    v128.store(tile.take + at, take);
  }
}

/** `sums = sums · keep + others · take`, of a query's numbers among those of pairs. */
function joinSums(sums: usize, keep: v128, others: usize, take: v128, headBytes: u32): void {
  for (const end = sums + 2 * headBytes; sums < end; sums += 64) {
    const first = multiplyAdd(v128.load(sums), keep, f32x4.mul(v128.load(others), take));
    const second = multiplyAdd(v128.load(sums, 16), keep, f32x4.mul(v128.load(others, 16), take));
    v128.store(sums, second, 16);
    v128.store(sums, first);
    others += 64;
  }
}
