/* What goes into a tile, and what comes out of it. */
import { offsetOf, sumsOf, weightsOf } from './parts';
import { Tile } from './tile';

/**
 * Fills the queries of a tile.
 * @param queries of its first row, rows `rowBytes` apart
 */
export function prepareQueries(tile: Tile, queries: usize, rowBytes: u32, scale: f32): void {
  const headBytes: u32 = 4 * tile.headSize;
  const pairs = tile.pairs;
  const count = tile.rows * tile.group;
  for (let head: u32 = 0; head < tile.heads; head++) {
    for (let query: u32 = 0; query < 2 * pairs; query++) {
      const target = tile.queries + offsetOf(2 * head * pairs + query, headBytes);
      if (query < count) fillQuery(queries + rowOffset(tile, head, query, rowBytes), headBytes, scale, target);
      else clearQuery(headBytes, target);
    }
  }
}

function fillQuery(source: usize, headBytes: u32, scale: f32, target: usize): void {
  const factor = f32x4.splat(scale);
  for (const end = source + headBytes; source < end; source += 64) {
    v128.store(target, f32x4.mul(v128.load(source), factor));
    v128.store(target, f32x4.mul(v128.load(source, 32), factor), 16);
    v128.store(target, f32x4.mul(v128.load(source, 16), factor), 64);
    v128.store(target, f32x4.mul(v128.load(source, 48), factor), 80);
    target += 128;
  }
}

function clearQuery(headBytes: u32, target: usize): void {
  for (const end = target + 2 * headBytes; target < end; target += 64) {
    v128.store(target, f32x4.splat(0));
    v128.store(target, f32x4.splat(0), 16);
  }
}

/** Writes the weighted values of all segments, divided by the sums of their weights. */
export function writeOutputs(tile: Tile, output: usize, rowBytes: u32): void {
  const headBytes: u32 = 4 * tile.headSize;
  const count = tile.rows * tile.group;
  for (let head: u32 = 0; head < tile.heads; head++) {
    for (let query: u32 = 0; query < count; query++) {
      const index = 2 * head * tile.pairs + query;
      const factor = f32x4.splat(1 / load<f32>(weightsOf(tile, tile.total) + 4 * index));
      let source = sumsOf(tile, tile.total) + offsetOf(index, headBytes);
      let target = output + rowOffset(tile, head, query, rowBytes);
      for (const end = target + headBytes; target < end; target += 64) {
        v128.store(target, f32x4.mul(v128.load(source), factor));
        v128.store(target, f32x4.mul(v128.load(source, 64), factor), 16);
        v128.store(target, f32x4.mul(v128.load(source, 16), factor), 32);
        v128.store(target, f32x4.mul(v128.load(source, 80), factor), 48);
        source += 128;
      }
    }
  }
}

/** Where they begin in rows of queries or outputs. */
@inline
function rowOffset(tile: Tile, head: u32, query: u32, rowBytes: u32): u32 {
  const group = tile.group;
  return (query / group) * rowBytes + 4 * ((tile.kvHeadBegin + head) * group + (query % group)) * tile.headSize;
}
