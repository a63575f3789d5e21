import { estimateActivation } from '../../../shared/placement/expected-a-max.ts';
import type { ActivationTrace } from '../../../shared/placement/trace.ts';
import type { Layout, Placement } from '../../../shared/scheduler/layout.ts';

/** Rows per layer step for which a_max is estimated. */
export const BATCH_SIZES: readonly number[] = [1, 4, 16, 64, 256];
/** Batch size at which the instances' loads are shown. */
const LOAD_TOKENS = 64;
/** Batches drawn per layer: a_max to about 1%. */
const ESTIMATE_BATCHES = 100;
/** One seed, so that placements are compared on the same batches. */
const ESTIMATE_SEED = 1;

export interface InstanceView {
  readonly id: number;
  readonly host: string;
  /** Replicas held in all layers together. */
  readonly replicas: number;
  /** Expected activated experts per layer step of `loadTokens` rows; null where there is no trace. */
  readonly meanActivated: number | null;
}

/** A placement and what the traffic makes of it. JSON-serialisable. */
export interface PlacementView {
  readonly model: string;
  readonly version: number;
  readonly layers: number;
  readonly experts: number;
  /** C, replica slots per instance and layer. */
  readonly capacity: number;
  /** Rows of the trace in the layer that has the fewest. */
  readonly traceRows: number;
  readonly loadTokens: number;
  readonly instances: readonly InstanceView[];
  /** By batch size; empty where there is no trace. */
  readonly aMax: readonly { readonly tokens: number; readonly meanAMax: number }[];
}

/** Mean a_max of layer steps of so many rows. */
export function meanAMax(layouts: readonly Layout[], trace: ActivationTrace, tokens: number): number {
  return estimateActivation(layouts, trace, tokens, ESTIMATE_BATCHES, ESTIMATE_SEED).meanAMax;
}

/** @param trace what the model's attention instances saw; null when nothing was stored */
export function viewPlacement(placement: Placement, trace: ActivationTrace | null): PlacementView {
  const { model, version, layers, experts, capacity } = placement;
  const loads =
    trace && estimateActivation(layers, trace, LOAD_TOKENS, ESTIMATE_BATCHES, ESTIMATE_SEED).meanLoads;
  const rows = trace === null ? [0] : layers.map((_, layer) => trace.rows(layer));
  return {
    model,
    version,
    layers: layers.length,
    experts,
    capacity,
    traceRows: Math.min(...rows),
    loadTokens: LOAD_TOKENS,
    instances: placement.instances.map(({ id, host }) => ({
      id,
      host,
      replicas: layers.reduce((sum, layout) => sum + layout.slots[id]!.length, 0),
      meanActivated: loads?.[id] ?? null,
    })),
    aMax: trace ? BATCH_SIZES.map((tokens) => ({ tokens, meanAMax: meanAMax(layers, trace, tokens) })) : [],
  };
}
