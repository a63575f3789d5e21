import type { PerformanceProfile, ScalingTarget } from '../../shared/protocol/scaling.ts';
import { LAYERS, TOP_K } from './simulated-model.ts';

/** Clocks of two processes are apart by twice this at most. */
export const LARGEST_SKEW_MS = 1_500;

/** Replica slots per expert instance and layer. */
export const CAPACITY = 4;

/** A scaler that is as quick as a run is short. */
export const SCALING_TARGET: ScalingTarget = {
  tpotMs: 160,
  bounds: {
    leastAttention: 1,
    mostAttention: 3,
    leastExperts: 2,
    mostExperts: 4,
    sequencesPerAttention: 4,
  },
  limits: {
    headroom: 1.15,
    downHeadroom: 1.35,
    downCooldownMs: 6_000,
    downAfterMs: 3_000,
    changeLimitMs: 12_000,
    idleMs: 8_000,
    floor: { attention: 1, experts: 2 },
  },
  window: { shortMs: 3_000, longMs: 10_000, tokensPerSequence: 12 },
};

/** What a profiling run of the simulated instances would find out. */
export const PROFILE: PerformanceProfile = {
  measuredAtMs: 1,
  model: {
    layers: LAYERS,
    expertsPerToken: TOP_K,
    attention: { floorMs: 4, perRowMs: 3, perContextTokenMs: 0.05 },
    experts: { fixedMs: 8, perActivatedMs: 6, perRowMs: 1 },
    link: { fixedMs: 6, perRowMs: 0.5 },
    step: { fixedMs: 4, perRowMs: 1 },
    attentionVariation: 0.1,
  },
  quality: {},
  capacity: CAPACITY,
  table: {
    batches: [1, 2, 4, 8, 16],
    instances: [2, 3, 4],
    values: [
      [1.4, 2.2, 3, 3.6, 4],
      [1.2, 1.7, 2.3, 2.7, 3],
      [1.1, 1.5, 1.9, 2.1, 2.2],
    ],
  },
};
