/*
 * Attention over a token-major cache of `[length]` stored rows (stored-rows.ts). The queries that share a key-value head are taken in sets
 * of four, so that every key and value is read once for four of them: query heads of one row, and where a key-value head has
 * one or two of them, those of four or two rows. Positions are taken in blocks, and a block for all heads before the next:
 * so the cache is read through once from front to back, as memory likes it. Scratch memory: sets.ts.
 * Sums run over positions in ascending order whatever the blocking, so a result depends on nothing but its inputs.
 */
import { readAhead } from '../read-ahead';
import { scoreFour, scoreOne, scoreTwo } from './scores';
import {
  accumulatorsOffset,
  normsOffset,
  prepareSet,
  SET,
  scoresOffset,
  scratchOfSet,
  softmax,
  writeOutputs,
} from './sets';
import { scalesBytes, storedRowBytes } from './stored-rows';
import { addFour, addOne, addTwo, scaleWeights } from './values';

/** The beginning of the scratch memory, before the sets, is written and never read. */
const UNUSED_BYTES: u32 = 16;
/** Bytes of the keys, or values, of a block: they fit the first-level cache. */
const BLOCK_BYTES: u32 = 32_768;
/** Positions of a block, multiples of 4: enough to keep sums in registers for a while. */
const MINIMUM_BLOCK: u32 = 4;
const MAXIMUM_BLOCK: u32 = 32;

/**
 * Causal attention of the newest `rows` positions of one sequence for the key-value heads `[kvHeadBegin, kvHeadEnd)` and
 * the query heads that go with them: row i sees positions `[0, length − rows + i]`. Decoding is one row.
 * @param queries `[rows, heads · D]`
 * @param keys `[length]` stored rows, the new ones included; so are `values`
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
  const tokenBytes = storedRowBytes(kvHeads, headSize);
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
    const keysAt = keys + begin * tokenBytes;
    if (rows == 1) readHeads(keysAt, kvHeadBegin, kvHeadEnd, kvHeads, headSize, count, scratch);
    for (let set: u32 = 0; set < sets; set++) {
      const inSet = rows * queriesOf(set, group, setsOfHead);
      const head = kvHeadBegin + set / setsOfHead;
      scoreBlock(inSet, keysAt, head, kvHeads, begin, count, headSize, firstSet + set * setBytes);
    }
  }
  for (let row: u32 = 1; row < rows; row++) {
    const position = seenByAll + row - 1;
    scoreForRowsFrom(row * group, keys + position * tokenBytes, kvHeadBegin, kvHeads, position, headSize, firstSet);
  }
  for (let set: u32 = 0; set < sets; set++) softmax(length, headSize, firstSet + set * setBytes);
  for (let begin: u32 = 0; begin < length; begin += block) {
    const count = min(length - begin, block);
    const valuesAt = values + begin * tokenBytes;
    if (rows == 1) readHeads(valuesAt, kvHeadBegin, kvHeadEnd, kvHeads, headSize, count, scratch);
    for (let set: u32 = 0; set < sets; set++) {
      const inSet = rows * queriesOf(set, group, setsOfHead);
      const head = kvHeadBegin + set / setsOfHead;
      addBlock(inSet, valuesAt, head, kvHeads, begin, count, headSize, firstSet + set * setBytes);
    }
  }
  for (let set: u32 = 0; set < sets; set++) {
    const first = firstQuery(set, kvHeadBegin, group, setsOfHead);
    const count = queriesOf(set, group, setsOfHead);
    writeOutputs(rows, rowBytes, count, headSize, firstSet + set * setBytes, output + first * headBytes);
  }
}

/** Reads the heads that are wanted of a block of positions ahead, and their scales. */
function readHeads(
  rows: usize,
  kvHeadBegin: u32,
  kvHeadEnd: u32,
  kvHeads: u32,
  headSize: u32,
  count: u32,
  unused: usize,
): void {
  const tokenBytes = storedRowBytes(kvHeads, headSize);
  const heads = kvHeadEnd - kvHeadBegin;
  if (heads == kvHeads) return readAhead(rows, count * tokenBytes, unused);
  const first = codesOffset(kvHeadBegin, kvHeads, headSize);
  for (let position: u32 = 0; position < count; position++) {
    readAhead(rows + 4 * kvHeadBegin, 4 * heads, unused);
    readAhead(rows + first, 2 * heads * headSize, unused);
    rows += tokenBytes;
  }
}

/** Where a head's codes lie in a stored row. */
@inline
function codesOffset(kvHead: u32, kvHeads: u32, headSize: u32): u32 {
  return scalesBytes(kvHeads) + 2 * kvHead * headSize;
}

@inline
function firstQuery(set: u32, kvHeadBegin: u32, group: u32, setsOfHead: u32): u32 {
  return (kvHeadBegin + set / setsOfHead) * group + SET * (set % setsOfHead);
}

@inline
function queriesOf(set: u32, group: u32, setsOfHead: u32): u32 {
  return min(group - SET * (set % setsOfHead), SET);
}

/** Scores of `count` positions from `begin` on; `rows` are the stored keys of `begin`. */
function scoreBlock(
  queries: u32,
  rows: usize,
  kvHead: u32,
  kvHeads: u32,
  begin: u32,
  count: u32,
  headSize: u32,
  set: usize,
): void {
  const scores = set + scoresOffset(headSize) + 16 * begin;
  const norms = set + normsOffset(headSize);
  const tokenBytes = storedRowBytes(kvHeads, headSize);
  const keys = rows + codesOffset(kvHead, kvHeads, headSize);
  const scales = rows + 4 * kvHead;
  let largest: v128;
  if (queries == 1) largest = scoreOne(set, headSize, keys, scales, count, tokenBytes, scores);
  else if (queries == 2) largest = scoreTwo(set, headSize, keys, scales, count, tokenBytes, scores);
  else largest = scoreFour(set, headSize, keys, scales, count, tokenBytes, scores);
  v128.store(norms, f32x4.pmax(v128.load(norms), largest));
}

/** Scores of a position that the queries before `first` do not see. Several rows have one set. */
function scoreForRowsFrom(
  first: u32,
  row: usize,
  kvHead: u32,
  kvHeads: u32,
  position: u32,
  headSize: u32,
  set: usize,
): void {
  const target = set + scoresOffset(headSize) + 16 * position;
  const keys = row + codesOffset(kvHead, kvHeads, headSize);
  const scores = scoreFour(set, headSize, keys, row + 4 * kvHead, 1, storedRowBytes(kvHeads, headSize), target);
  const sees = i32x4.ge_s(i32x4(0, 1, 2, 3), i32x4.splat(first));
  const seen = v128.bitselect(scores, f32x4.splat(-Infinity), sees);
  v128.store(target, seen);
  const norms = set + normsOffset(headSize);
  v128.store(norms, f32x4.pmax(v128.load(norms), seen));
}

/** Adds weight · value of `count` positions from `begin` on; `rows` are the stored values of `begin`. Their weights end here. */
function addBlock(
  queries: u32,
  rows: usize,
  kvHead: u32,
  kvHeads: u32,
  begin: u32,
  count: u32,
  headSize: u32,
  set: usize,
): void {
  const weights = set + scoresOffset(headSize) + 16 * begin;
  const weightsEnd = weights + 16 * count;
  const sums = set + accumulatorsOffset(headSize);
  const tokenBytes = storedRowBytes(kvHeads, headSize);
  const values = rows + codesOffset(kvHead, kvHeads, headSize);
  scaleWeights(weights, weightsEnd, rows + 4 * kvHead, tokenBytes);
  if (queries == 1) addOne(weights, weightsEnd, values, tokenBytes, headSize, sums);
  else if (queries == 2) addTwo(weights, weightsEnd, values, tokenBytes, headSize, sums);
  else addFour(weights, weightsEnd, values, tokenBytes, headSize, sums);
}

