import { JanusError } from '../errors/janus-error.ts';

/** Batches of one size that placement looks at. */
export interface BatchSample {
  /** T, rows of a batch. */
  readonly tokens: number;
  /** Number of batches drawn. */
  readonly batches: number;
}

/** Which experts are activated together: batches drawn from one layer's window of a trace. */
export interface LayerActivity {
  /** E, logical experts. */
  readonly experts: number;
  /** S, number of batches. */
  readonly batches: number;
  /** [S, E]: 1 where the batch activates the expert. */
  readonly active: Uint8Array;
  /** [S]: distinct activated experts of the batch. */
  readonly activated: Int32Array;
  /** [S]: weight of the batch, such that all sizes weigh the same and all batches together 1. */
  readonly weights: Float64Array;
}

/**
 * Draws batches from a window of routing, rows with replacement.
 *
 * What an instance has to do in a layer step follows from the experts that the *batch* activates, so activations and
 * co-activations are counted per batch, not per token: an expert that every batch activates counts once, however many
 * tokens it gets, and slots go to many experts instead of a few hot ones. Measured with greedy placement alone (skewed,
 * correlated traces, 160 experts on 16 instances), a_max is lower than when tokens and pairs within tokens are counted by
 * 4% at 1 token, 6% at 4, 7% at 16, 3% at 64, and the same from 256; counting batches of one size is worse than all sizes.
 *
 * @param window [rows, k]: routing of one layer; without rows there are no batches.
 * @param samples The sizes to draw. A placement serves all batch sizes, so each counts as much as the others.
 * @param random Uniform numbers in [0, 1).
 */
export function sampleActivity(
  window: Uint16Array,
  expertsPerToken: number,
  experts: number,
  random: () => number,
  samples: readonly BatchSample[],
): LayerActivity {
  const rows = window.length / expertsPerToken;
  if (!Number.isInteger(rows)) {
    throw new JanusError(
      `the window has ${window.length} expert ids; give a multiple of ${expertsPerToken} (expertsPerToken)`,
    );
  }
  const batches = rows === 0 ? 0 : samples.reduce((sum, sample) => sum + sample.batches, 0);
  const active = new Uint8Array(batches * experts);
  const activated = new Int32Array(batches);
  const weights = new Float64Array(batches);
  let batch = 0;
  for (const { tokens, batches: ofThisSize } of rows === 0 ? [] : samples) {
    for (const end = batch + ofThisSize; batch < end; batch += 1) {
      const marks = active.subarray(batch * experts, (batch + 1) * experts);
      for (let token = 0; token < tokens; token += 1) {
        const start = Math.floor(random() * rows) * expertsPerToken;
        for (let slot = 0; slot < expertsPerToken; slot += 1) {
          const expert = window[start + slot];
          activated[batch] += 1 - marks[expert];
          marks[expert] = 1;
        }
      }
      weights[batch] = 1 / (samples.length * ofThisSize);
    }
  }
  return { experts, batches, active, activated, weights };
}

/**
 * [E]: c(e), activations of each expert. A batch counts in proportion to 1 / its activated experts, so that the large
 * batches, which activate nearly all, do not drown the small ones.
 */
export function activationLoads(activity: LayerActivity): Float64Array {
  const { experts, batches, active, activated, weights } = activity;
  const loads = new Float64Array(experts);
  for (let batch = 0; batch < batches; batch += 1) {
    const share = weights[batch] / activated[batch];
    for (let expert = 0; expert < experts; expert += 1)
      loads[expert] += share * active[batch * experts + expert];
  }
  return loads;
}

/** [E, E]: a(e, e'), how often two experts are activated in one batch, weighted as in `activationLoads`. */
export function coActivation(activity: LayerActivity): Float64Array {
  const { experts, batches, active, activated, weights } = activity;
  const matrix = new Float64Array(experts * experts);
  const ids = new Int32Array(experts);
  for (let batch = 0; batch < batches; batch += 1) {
    const share = weights[batch] / activated[batch];
    let count = 0;
    for (let expert = 0; expert < experts; expert += 1) {
      if (active[batch * experts + expert] === 1) {
        ids[count] = expert;
        count += 1;
      }
    }
    for (let first = 0; first < count; first += 1) {
      const row = ids[first] * experts;
      for (let second = first + 1; second < count; second += 1) matrix[row + ids[second]] += share;
    }
  }
  for (let first = 0; first < experts; first += 1) {
    for (let second = first + 1; second < experts; second += 1) {
      matrix[second * experts + first] = matrix[first * experts + second];
    }
  }
  return matrix;
}
