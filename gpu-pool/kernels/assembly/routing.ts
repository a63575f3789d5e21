/* Which experts a row goes to, its way there and back. */
import { exponential, one, sumLanes } from './simd';

/**
 * The k experts with the highest scores of each row, best first, equals by id, and their gate weights: the softmax over
 * all experts, or over the chosen ones where `normalize` is set. Every row gets k ids, even if its scores are NaN.
 * @param scores `[rows, experts]`, from `linearFloat`
 * @param expertsPerToken k ≤ experts
 * @param ids int32 `[rows, k]`
 * @param weights f32 `[rows, k]`
 */
export function chooseExperts(
  scores: usize,
  rows: u32,
  experts: u32,
  expertsPerToken: u32,
  normalize: bool,
  ids: usize,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    chooseBest(scores, experts, expertsPerToken, ids, weights);
    const largest = load<f32>(weights);
    const sum = normalize
      ? exponentialSum(weights, expertsPerToken, largest)
      : exponentialSum(scores, experts, largest);
    for (let slot: u32 = 0; slot < expertsPerToken; slot++) {
      const at = weights + 4 * slot;
      store<f32>(at, exponentialOf(load<f32>(at) - largest) / sum);
    }
    scores += 4 * experts;
    ids += 4 * expertsPerToken;
    weights += 4 * expertsPerToken;
  }
}

/** Leaves the ids and scores of the best experts, sorted; `ids` and `best` are filled by insertion. */
function chooseBest(scores: usize, experts: u32, expertsPerToken: u32, ids: usize, best: usize): void {
  let count: u32 = 0;
  for (let expert: u32 = 0; expert < experts; expert++) {
    const score = load<f32>(scores + 4 * expert);
    let slot = count;
    if (count < expertsPerToken) count++;
    else if (score > load<f32>(best + 4 * (count - 1))) slot = count - 1;
    else continue;
    for (; slot > 0 && score > load<f32>(best + 4 * (slot - 1)); slot--) {
      store<f32>(best + 4 * slot, load<f32>(best + 4 * (slot - 1)));
      store<u32>(ids + 4 * slot, load<u32>(ids + 4 * (slot - 1)));
    }
    store<f32>(best + 4 * slot, score);
    store<u32>(ids + 4 * slot, expert);
  }
}

function exponentialSum(scores: usize, count: u32, largest: f32): f32 {
  const vectors = scores + 4 * (count & ~3);
  const end = scores + 4 * count;
  const unit = <f32>one();
  let sums = f32x4.splat(0);
  for (; scores < vectors; scores += 16) {
    sums = f32x4.add(sums, exponential(f32x4.sub(v128.load(scores), f32x4.splat(largest)), unit));
  }
  let sum = f32x4.extract_lane(sumLanes(sums, sums, sums, sums), 0);
  for (; scores < end; scores += 4) sum += exponentialOf(load<f32>(scores) - largest);
  return sum;
}

function exponentialOf(x: f32): f32 {
  return f32x4.extract_lane(exponential(f32x4.splat(x), 1), 0);
}

/** `target[i] = source[indices[i]]` for `count` rows of `rowBytes` bytes. */
export function moveRows(source: usize, indices: usize, count: u32, rowBytes: u32, target: usize): void {
  for (let row: u32 = 0; row < count; row++) {
    memory.copy(target, source + load<u32>(indices + 4 * row) * rowBytes, rowBytes);
    target += rowBytes;
  }
}

/** `target[i] = source[⌊pairs[i] / k⌋]` for `count` rows of `rowBytes` bytes. */
export function gatherPairs(
  source: usize,
  pairs: usize,
  count: u32,
  expertsPerToken: u32,
  rowBytes: u32,
  target: usize,
): void {
  for (let i: u32 = 0; i < count; i++) {
    memory.copy(target, source + (load<u32>(pairs + 4 * i) / expertsPerToken) * rowBytes, rowBytes);
    target += rowBytes;
  }
}

/**
 * The MoE layer's output: `output[row] = Σ_slot weights[row, slot] · expertOutputs[positions[row, slot]]` over the slots
 * whose position lies in `[positionBegin, positionEnd)`. Sums run in the gate's order, in f64, and are rounded once.
 * @param expertOutputs rows of H floats
 * @param positions int32 `[rows, k]`
 * @param weights f32 `[rows, k]`
 * @param size H, a multiple of 8
 * @param output `[rows, H]`
 */
export function combine(
  expertOutputs: usize,
  positions: usize,
  weights: usize,
  rows: u32,
  expertsPerToken: u32,
  size: u32,
  positionBegin: u32,
  positionEnd: u32,
  output: usize,
): void {
  const bytes: u32 = 4 * size;
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < bytes; column += 32) {
      let sum0 = f64x2.splat(0);
      let sum1 = f64x2.splat(0);
      let sum2 = f64x2.splat(0);
      let sum3 = f64x2.splat(0);
      for (let slot: u32 = 0; slot < expertsPerToken; slot++) {
        const position = load<u32>(positions + 4 * slot);
        if (position < positionBegin || position >= positionEnd) continue;
        const at = expertOutputs + position * bytes + column;
        const weight = f64x2.splat(<f64>load<f32>(weights + 4 * slot));
        sum0 = f64x2.add(sum0, f64x2.mul(weight, promote(at)));
        sum1 = f64x2.add(sum1, f64x2.mul(weight, promote(at + 8)));
        sum2 = f64x2.add(sum2, f64x2.mul(weight, promote(at + 16)));
        sum3 = f64x2.add(sum3, f64x2.mul(weight, promote(at + 24)));
      }
      v128.store(output + column, demote(sum0, sum1));
      v128.store(output + column + 16, demote(sum2, sum3));
    }
    positions += 4 * expertsPerToken;
    weights += 4 * expertsPerToken;
    output += bytes;
  }
}

@inline
function promote(at: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(at));
}

@inline
function demote(low: v128, high: v128): v128 {
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}
