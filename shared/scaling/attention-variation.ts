import type { AttentionInstanceRecord } from '../protocol/member.ts';

/** Parts of a step that an attention instance computes in each layer, before all of its host send their rows together. */
export const LAYER_PHASES = ['pre', 'attend', 'post'] as const;

/** What an attention instance has computed since its start. JSON-serialisable. */
export interface AttentionWork {
  readonly steps: number;
  /** Time of its layers without the exchange, in milliseconds. */
  readonly layersMs: number;
}

/** @returns attention instance → what it has computed */
export function attentionWork(
  instances: readonly AttentionInstanceRecord[],
): Readonly<Record<string, AttentionWork>> {
  return Object.fromEntries(
    instances.map(({ id, steps, phasesMs }) => {
      const layersMs = LAYER_PHASES.reduce((sum, phase) => sum + (phasesMs[phase] ?? 0), 0);
      return [id, { steps, layersMs }];
    }),
  );
}

/**
 * Coefficient of variation, over the attention instances, of the time that their steps took between two observations. Batches
 * of different sizes and threads of different speed show in it alike.
 *
 * @returns null where fewer than two instances computed in both
 */
export function variationBetween(
  before: Readonly<Record<string, AttentionWork>>,
  after: Readonly<Record<string, AttentionWork>>,
): number | null {
  const stepMs: number[] = [];
  for (const [id, { steps, layersMs }] of Object.entries(after)) {
    const earlier = before[id];
    // Fewer steps than before are those of an instance that started anew under its old name.
    if (earlier === undefined || steps <= earlier.steps || layersMs <= earlier.layersMs) continue;
    stepMs.push((layersMs - earlier.layersMs) / (steps - earlier.steps));
  }
  if (stepMs.length < 2) return null;
  const mean = stepMs.reduce((sum, ms) => sum + ms, 0) / stepMs.length;
  const squares = stepMs.reduce((sum, ms) => sum + (ms - mean) ** 2, 0);
  return Math.sqrt(squares / (stepMs.length - 1)) / mean;
}

/** Root mean square of coefficients of variation; null where there are none. */
export function meanVariation(variations: readonly (number | undefined)[]): number | null {
  const known = variations.filter((variation) => variation !== undefined);
  if (known.length === 0) return null;
  return Math.sqrt(known.reduce((sum, variation) => sum + variation ** 2, 0) / known.length);
}
