import { AebsScheduler } from '../scheduler/aebs.ts';
import type { Layout } from '../scheduler/layout.ts';
import { indexLayout } from '../scheduler/layout-index.ts';
import { seededRandom } from './seeded-random.ts';
import type { ActivationTrace } from './trace.ts';

/** What layer steps of one batch size look like under a placement. */
export interface ActivationEstimate {
  /** T, rows of a layer step. */
  readonly tokens: number;
  /** Mean of a_max over layers and batches. */
  readonly meanAMax: number;
  /** Mean number of distinct activated experts of a layer step. */
  readonly meanActivated: number;
  /** [n_e]: mean number of activated experts that each instance computes in a layer step. */
  readonly meanLoads: Float64Array;
}

/**
 * Estimates by Monte Carlo what AEBS makes of a placement: draws batches from the trace, rows with replacement, and
 * schedules them. Layers without rows in the trace do not count; without any the means are NaN.
 *
 * @param layouts The layers' layouts, all of the same number of instances.
 * @param batches Number of batches drawn per layer.
 * @param seed The same seed draws the same batches, so that two placements can be compared batch by batch.
 */
export function estimateActivation(
  layouts: readonly Layout[],
  trace: ActivationTrace,
  tokens: number,
  batches: number,
  seed: number,
): ActivationEstimate {
  const { experts, expertsPerToken } = trace.shape;
  const { instances } = layouts[0];
  const scheduler = new AebsScheduler({ maxTokens: tokens, topK: expertsPerToken, experts, instances });
  const random = seededRandom(seed);
  const expertIds = new Int32Array(tokens * expertsPerToken);
  const meanLoads = new Float64Array(instances);
  let aMax = 0;
  let activated = 0;
  let steps = 0;
  for (const [layer, layout] of layouts.entries()) {
    const window = trace.window(layer);
    if (window.length === 0) continue;
    const index = indexLayout(layout, experts);
    for (let batch = 0; batch < batches; batch += 1) {
      drawRows(window, expertsPerToken, expertIds, random);
      scheduler.schedule(index, expertIds, tokens, expertsPerToken);
      aMax += scheduler.aMax;
      activated += scheduler.activated;
      for (const [instance, load] of scheduler.load.entries()) meanLoads[instance] += load;
    }
    steps += batches;
  }
  return {
    tokens,
    meanAMax: aMax / steps,
    meanActivated: activated / steps,
    meanLoads: meanLoads.map((load) => load / steps),
  };
}

/** Fills `expertIds` with rows of the window, drawn with replacement. */
function drawRows(
  window: Uint16Array,
  expertsPerToken: number,
  expertIds: Int32Array,
  random: () => number,
): void {
  const rows = window.length / expertsPerToken;
  for (let to = 0; to < expertIds.length; to += expertsPerToken) {
    const from = Math.floor(random() * rows) * expertsPerToken;
    for (let slot = 0; slot < expertsPerToken; slot += 1) expertIds[to + slot] = window[from + slot];
  }
}
