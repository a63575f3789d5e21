/*
 * Attention over a token-major f32 cache `[length, kvHeads · D]`. The queries that share a key-value head are taken in sets
 * of four, so that every key and value is read once for four of them: query heads of one row, and where a key-value head has
 * one or two of them, those of four or two rows. Positions are taken in blocks, and a block for all heads before the next:
 * so the cache is read through once from front to back, as memory likes it. Scratch memory of a set:
 *   queries       `[D / 4, 4, 4]`  four floats of each of the four queries, scaled
 *   accumulators  `[D / 8, 4, 8]`  eight floats of each of the four outputs (of a lone query: `[D]`)
 *   norms         `[4]`            of each query the largest score, then one over the sum of its weights
 *   scores        `[length, 4]`    of each position for the four queries, then their weights
 * Sums run over positions in ascending order whatever the blocking, so a result depends on nothing but its inputs.
 */
import { readAhead } from '../read-ahead';
import { exponential } from '../simd';
import { scoreFour, scoreOne, scoreTwo } from './scores';
import { addFour, addOne, addTwo } from './values';

/** The beginning of the scratch memory, before the sets, is written and never read. */
const UNUSED_BYTES: u32 = 16;
/** Queries of a set. */
const SET: u32 = 4;
/** Bytes of the keys, or values, of a block: they fit the first-level cache. */
const BLOCK_BYTES: u32 = 32_768;
/** Positions of a block, multiples of 4: enough to keep sums in registers for a while. */
const MINIMUM_BLOCK: u32 = 4;
const MAXIMUM_BLOCK: u32 = 32;

/**
 * Causal attention of the newest `rows` positions of one sequence for the key-value heads `[kvHeadBegin, kvHeadEnd)` and
 * the query heads that go with them: row i sees positions `[0, length − rows + i]`. Decoding is one row.
 * @param queries `[rows, heads · D]`
 * @param keys `[length, kvHeads · D]`, the new rows included
 * @param values `[length, kvHeads · D]`
 * @param headSize D, a multiple of 16
 * @param scale of the scores, usually 1 / √D
 * @param output `[rows, heads · D]`
 * @param scratch `sets · (32 · D + 16 · length + 16) + 16` bytes that no other thread uses, with one set for every four query
 *   heads of a key-value head
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
  const rowStep = rows > 1 && SET % group == 0 ? SET / group : 1;
  // Several rows read the same cache: that of one head at a time fits the second-level cache.
  const headStep = rows == 1 ? kvHeadEnd - kvHeadBegin : 1;
  for (let begin = kvHeadBegin; begin < kvHeadEnd; begin += headStep) {
    for (let row: u32 = 0; row < rows; row += rowStep) {
      const taken = min(rowStep, rows - row);
      const at = row * rowBytes;
      attendRows(
        queries + at,
        taken,
        keys,
        values,
        length - rows + row + taken,
        begin,
        begin + headStep,
        group,
        kvHeads,
        headSize,
        scale,
        output + at,
        scratch,
      );
    }
  }
}

/**
 * @param rows 1, or as many as fill a set together; the last one sees `length` positions
 * @param group query heads of a key-value head
 */
function attendRows(
  queries: usize,
  rows: u32,
  keys: usize,
  values: usize,
  length: u32,
  kvHeadBegin: u32,
  kvHeadEnd: u32,
  group: u32,
  kvHeads: u32,
  headSize: u32,
  scale: f32,
  output: usize,
  scratch: usize,
): void {
  const headBytes: u32 = 4 * headSize;
  const rowBytes = kvHeads * group * headBytes;
  const tokenBytes = kvHeads * headBytes;
  const firstHead = kvHeadBegin * headBytes;
  const headsBytes = (kvHeadEnd - kvHeadBegin) * headBytes;
  const block = max(min((BLOCK_BYTES / tokenBytes) & ~3, MAXIMUM_BLOCK), MINIMUM_BLOCK);
  const setBytes = scratchOfSet(length, headSize);
  const setsOfHead = (group + SET - 1) / SET;
  const sets = (kvHeadEnd - kvHeadBegin) * setsOfHead;
  const firstSet = scratch + UNUSED_BYTES;
  for (let set: u32 = 0; set < sets; set++) {
    const first = firstQuery(set, kvHeadBegin, group, setsOfHead);
    const count = queriesOf(set, group, setsOfHead);
    prepareSet(queries + first * headBytes, rows, rowBytes, count, headSize, scale, firstSet + set * setBytes);
  }
  const seenByAll = length - rows + 1;
  for (let begin: u32 = 0; begin < seenByAll; begin += block) {
    const count = min(seenByAll - begin, block);
    if (rows == 1) readHeads(keys + firstHead + begin * tokenBytes, headsBytes, tokenBytes, count, scratch);
    for (let set: u32 = 0; set < sets; set++) {
      const at = (kvHeadBegin + set / setsOfHead) * headBytes + begin * tokenBytes;
      const inSet = rows * queriesOf(set, group, setsOfHead);
      scoreBlock(inSet, keys + at, tokenBytes, begin, count, headSize, firstSet + set * setBytes);
    }
  }
  for (let row: u32 = 1; row < rows; row++) {
    const position = seenByAll + row - 1;
    const at = kvHeadBegin * headBytes + position * tokenBytes;
    scoreForRowsFrom(row * group, keys + at, tokenBytes, position, headSize, firstSet);
  }
  for (let set: u32 = 0; set < sets; set++) softmax(length, headSize, firstSet + set * setBytes);
  for (let begin: u32 = 0; begin < length; begin += block) {
    const count = min(length - begin, block);
    if (rows == 1) readHeads(values + firstHead + begin * tokenBytes, headsBytes, tokenBytes, count, scratch);
    for (let set: u32 = 0; set < sets; set++) {
      const at = (kvHeadBegin + set / setsOfHead) * headBytes + begin * tokenBytes;
      const inSet = rows * queriesOf(set, group, setsOfHead);
      addBlock(inSet, values + at, tokenBytes, begin, count, headSize, firstSet + set * setBytes);
    }
  }
  for (let set: u32 = 0; set < sets; set++) {
    const first = firstQuery(set, kvHeadBegin, group, setsOfHead);
    const count = queriesOf(set, group, setsOfHead);
    writeOutputs(rows, rowBytes, count, headSize, firstSet + set * setBytes, output + first * headBytes);
  }
}

/** Reads the heads that are wanted of a block of positions ahead. */
function readHeads(from: usize, headsBytes: u32, tokenBytes: u32, count: u32, unused: usize): void {
  if (headsBytes == tokenBytes) return readAhead(from, count * tokenBytes, unused);
  for (let position: u32 = 0; position < count; position++) {
    readAhead(from, headsBytes, unused);
    from += tokenBytes;
  }
}

@inline
function scratchOfSet(length: u32, headSize: u32): u32 {
  return scoresOffset(headSize) + 16 * length;
}

@inline
function accumulatorsOffset(headSize: u32): u32 {
  return 16 * headSize;
}

@inline
function normsOffset(headSize: u32): u32 {
  return 32 * headSize;
}

@inline
function scoresOffset(headSize: u32): u32 {
  return 32 * headSize + 16;
}

@inline
function firstQuery(set: u32, kvHeadBegin: u32, group: u32, setsOfHead: u32): u32 {
  return (kvHeadBegin + set / setsOfHead) * group + SET * (set % setsOfHead);
}

@inline
function queriesOf(set: u32, group: u32, setsOfHead: u32): u32 {
  return min(group - SET * (set % setsOfHead), SET);
}

/** Fills the queries of a set, `count` of each row and zero beyond, and clears its accumulators and norms. */
function prepareSet(
  queries: usize,
  rows: u32,
  rowBytes: u32,
  count: u32,
  headSize: u32,
  scale: f32,
  set: usize,
): void {
  const factor = f32x4.splat(scale);
  const headBytes: u32 = 4 * headSize;
  for (let query: u32 = 0; query < SET; query++) {
    const row = query / count;
    const from = queries + row * rowBytes + (query % count) * headBytes;
    for (let at: u32 = 0; at < headBytes; at += 16) {
      const scaled = row < rows ? f32x4.mul(v128.load(from + at), factor) : f32x4.splat(0);
      v128.store(set + 4 * at + 16 * query, scaled);
    }
  }
  memory.fill(set + accumulatorsOffset(headSize), 0, 16 * headSize);
  v128.store(set + normsOffset(headSize), f32x4.splat(-Infinity));
}

/** Scores of `count` positions from `begin` on; `keys` are those of `begin`. */
function scoreBlock(
  queries: u32,
  keys: usize,
  tokenBytes: u32,
  begin: u32,
  count: u32,
  headSize: u32,
  set: usize,
): void {
  const scores = set + scoresOffset(headSize) + 16 * begin;
  const norms = set + normsOffset(headSize);
  let largest: v128;
  if (queries == 1) largest = scoreOne(set, headSize, keys, count, tokenBytes, scores);
  else if (queries == 2) largest = scoreTwo(set, headSize, keys, count, tokenBytes, scores);
  else largest = scoreFour(set, headSize, keys, count, tokenBytes, scores);
  v128.store(norms, f32x4.pmax(v128.load(norms), largest));
}

/** Scores of a position that the queries before `first` do not see. Several rows have one set. */
function scoreForRowsFrom(
  first: u32,
  keys: usize,
  tokenBytes: u32,
  position: u32,
  headSize: u32,
  set: usize,
): void {
  const target = set + scoresOffset(headSize) + 16 * position;
  const scores = scoreFour(set, headSize, keys, 1, tokenBytes, target);
  const sees = i32x4.ge_s(i32x4(0, 1, 2, 3), i32x4.splat(first));
  const seen = v128.bitselect(scores, f32x4.splat(-Infinity), sees);
  v128.store(target, seen);
  const norms = set + normsOffset(headSize);
  v128.store(norms, f32x4.pmax(v128.load(norms), seen));
}

/** Replaces the scores of a set by e^(score − largest), 0 where a position is not seen, and the largest scores by one over the sums. */
function softmax(length: u32, headSize: u32, set: usize): void {
  const norms = set + normsOffset(headSize);
  const largest = v128.load(norms);
  const scores = set + scoresOffset(headSize);
  const end = scores + 16 * length;
  let sum = f32x4.splat(0);
  for (let at = scores; at < end; at += 16) {
    const score = v128.load(at);
    const isSeen = f32x4.ne(score, f32x4.splat(-Infinity));
    const weight = v128.and(exponential(f32x4.sub(score, largest)), isSeen);
    sum = f32x4.add(sum, weight);
    v128.store(at, weight);
  }
  v128.store(norms, f32x4.div(f32x4.splat(1), sum));
}

/** Adds weight · value of `count` positions from `begin` on; `values` are those of `begin`. */
function addBlock(
  queries: u32,
  values: usize,
  tokenBytes: u32,
  begin: u32,
  count: u32,
  headSize: u32,
  set: usize,
): void {
  const weights = set + scoresOffset(headSize) + 16 * begin;
  const sums = set + accumulatorsOffset(headSize);
  if (queries == 1) addOne(weights, weights + 16 * count, values, tokenBytes, headSize, sums);
  else if (queries == 2) addTwo(weights, weights + 16 * count, values, tokenBytes, headSize, sums);
  else addFour(weights, weights + 16 * count, values, tokenBytes, headSize, sums);
}

/** Writes the accumulators of `count` queries of each row, divided by the sums of their weights. */
function writeOutputs(
  rows: u32,
  rowBytes: u32,
  count: u32,
  headSize: u32,
  set: usize,
  output: usize,
): void {
  const sums = set + accumulatorsOffset(headSize);
  let factors = v128.load(set + normsOffset(headSize));
  // Eight floats of four queries lie side by side; a lone query's floats lie together.
  const stride: u32 = rows * count == 1 ? 32 : 128;
  for (let query: u32 = 0; query < rows * count; query++) {
    const factor = v128.shuffle<f32>(factors, factors, 0, 0, 0, 0);
    let at = sums + 32 * query;
    let target = output + (query / count) * rowBytes + 4 * (query % count) * headSize;
    for (let column: u32 = 0; column < headSize; column += 8) {
      v128.store(target, f32x4.mul(v128.load(at), factor));
      v128.store(target, f32x4.mul(v128.load(at, 16), factor), 16);
      target += 32;
      at += stride;
    }
    factors = v128.shuffle<f32>(factors, factors, 1, 2, 3, 0);
  }
}
