import { JanusError } from '../../../shared/errors/janus-error.ts';

/** One order for everything here: larger value first, and lower token id first among equals. */
function isWorse(values: Float32Array | Float64Array, a: number, b: number): boolean {
  return values[a] < values[b] || (values[a] === values[b] && a > b);
}

/**
 * Id of the largest logit, the lowest id among equals.
 *
 * @param logits `[V]`
 * @throws JanusError if a logit is NaN, or the largest is not finite: no token can be picked from that
 */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let largest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id];
    if (logit > largest) {
      largest = logit;
      best = id;
    } else if (Number.isNaN(logit)) {
      throw unusable(`The logit of token ${id} is NaN`);
    }
  }
  if (best < 0) throw unusable('No token has a logit above -Infinity');
  if (largest === Number.POSITIVE_INFINITY) throw unusable(`The logit of token ${best} is Infinity`);
  return best;
}

function unusable(found: string): JanusError {
  return new JanusError(
    `${found}, so no token can be sampled: look for damaged or overflowing weights in the checkpoint, or serve it in form f32.`,
  );
}

/**
 * The `count` largest of `values`, by a heap of that size: one comparison for nearly every value, no sort of all.
 *
 * @param values `[V]`, without NaN
 * @param count at most V
 * @param out receives `count` ids, best first
 */
export function selectLargest(values: Float32Array, count: number, out: Int32Array): void {
  if (count === 0) return;
  for (let id = 0; id < count; id++) out[id] = id;
  for (let root = (count >> 1) - 1; root >= 0; root--) siftDown(values, out, root, count);
  for (let id = count; id < values.length; id++) {
    // A later id loses among equals, so only a larger value displaces the worst one kept.
    if (values[id] > values[out[0]]) {
      out[0] = id;
      siftDown(values, out, 0, count);
    }
  }
  for (let last = count - 1; last > 0; last--) {
    const worst = out[0];
    out[0] = out[last];
    out[last] = worst;
    siftDown(values, out, 0, last);
  }
}

/** Restores the heap `heap[0, size)`, worst id at the root, after the entry at `root` changed. */
function siftDown(values: Float32Array, heap: Int32Array, root: number, size: number): void {
  const id = heap[root];
  let hole = root;
  for (let child = 2 * hole + 1; child < size; child = 2 * hole + 1) {
    if (child + 1 < size && isWorse(values, heap[child + 1], heap[child])) child++;
    if (!isWorse(values, heap[child], id)) break;
    heap[hole] = heap[child];
    hole = child;
  }
  heap[hole] = id;
}

/**
 * Top-p: keeps the fewest best candidates whose weights sum to at least `share` of all, in the order they had. The order
 * matters for the draw: it must not hang on the last bits of the weights, which differ between batches.
 *
 * @param weights `[V]`, positive at every candidate
 * @param candidates ids in `[0, count)`, compacted in place
 * @param total sum of the candidates' weights
 * @param share in (0, 1)
 * @param work scratch, as long as `candidates`
 * @returns number of candidates kept, at least 1
 */
export function keepNucleus(
  weights: Float64Array,
  candidates: Int32Array,
  count: number,
  total: number,
  share: number,
  work: Int32Array,
): number {
  // All candidates at or below this weight together hold less than 1 - share: none of them is needed.
  const negligible = (total * (1 - share)) / count;
  let considered = 0;
  for (let i = 0; i < count; i++) {
    if (weights[candidates[i]] > negligible) work[considered++] = candidates[i];
  }
  const worst = worstOfNucleus(weights, work, considered, total * share);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const id = candidates[i];
    if (!isWorse(weights, id, worst)) candidates[kept++] = id;
  }
  return kept;
}

/**
 * Quickselect by weight (Hoare's FIND with sums for counts), linear in `count` on average. `ids[0, low)` is in the
 * nucleus, `ids[high, count)` is not, and the last id it needs lies between.
 */
function worstOfNucleus(weights: Float64Array, ids: Int32Array, count: number, target: number): number {
  let low = 0;
  let high = count;
  let missing = target;
  while (high - low > 1) {
    const pivot = partition(weights, ids, low, high);
    let better = 0;
    for (let i = low; i < pivot; i++) better += weights[ids[i]];
    if (pivot > low && better >= missing) {
      high = pivot;
    } else if (better + weights[ids[pivot]] >= missing) {
      return ids[pivot];
    } else {
      missing -= better + weights[ids[pivot]];
      low = pivot + 1;
    }
  }
  return ids[high - 1];
}

/** Partitions `ids[low, high)` around its middle entry, better ones first, and returns where that one now stands. */
function partition(weights: Float64Array, ids: Int32Array, low: number, high: number): number {
  const middle = (low + high) >> 1;
  const pivot = ids[middle];
  ids[middle] = ids[high - 1];
  let boundary = low;
  for (let i = low; i < high - 1; i++) {
    const id = ids[i];
    if (isWorse(weights, pivot, id)) {
      ids[i] = ids[boundary];
      ids[boundary++] = id;
    }
  }
  ids[high - 1] = ids[boundary];
  ids[boundary] = pivot;
  return boundary;
}
