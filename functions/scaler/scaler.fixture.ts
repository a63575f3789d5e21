import type { AnswerCount, AttentionInstanceRecord, HostRecord } from '../../shared/protocol/member.ts';
import type { PerformanceProfile, ScalingTarget } from '../../shared/protocol/scaling.ts';
import { SCALING_LIMITS } from '../../shared/scaling/decide.ts';
import { DEMAND_WINDOW_LIMITS } from '../../shared/scaling/demand-window.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';

/** Six layers; an instance of each kind serves some hundred tokens per second within 20 ms. */
export const PROFILE: PerformanceProfile = {
  measuredAtMs: 1_700_000_000_000,
  model: {
    layers: 6,
    expertsPerToken: 4,
    attention: { floorMs: 0.1, perRowMs: 0.3, perContextTokenMs: 0.001 },
    experts: { fixedMs: 0.1, perActivatedMs: 0.05, perRowMs: 0.02 },
    link: { fixedMs: 0.1, perRowMs: 0.001 },
    step: { fixedMs: 0.5, perRowMs: 0.05 },
    attentionVariation: 0,
  },
  quality: {},
  capacity: 16,
  table: {
    batches: [1, 16, 256],
    instances: [1, 2, 3, 4],
    values: [
      [4, 20, 32],
      [3, 11, 16],
      [2, 8, 11],
      [2, 6, 8],
    ],
  },
};

export const TARGET: ScalingTarget = {
  tpotMs: 20,
  bounds: {
    leastAttention: 1,
    mostAttention: 4,
    leastExperts: 1,
    mostExperts: 4,
    sequencesPerAttention: 32,
  },
  limits: SCALING_LIMITS,
  window: DEMAND_WINDOW_LIMITS,
};

/** What a pool of one attention and one expert instance tells of itself. */
export interface SeenLoad {
  /** Made since the instance started. */
  readonly tokens: number;
  readonly running: number;
  readonly queued: number;
  readonly stepMs?: number;
  readonly ended?: AnswerCount;
}

export function poolOf(model: string, { tokens, running, queued, stepMs = 10, ended }: SeenLoad): PoolStatus {
  const pace = {
    stepMs,
    promptTokenMs: 1,
    promptRowsPerStep: 128,
    promptTokens: 20,
    sequenceMs: null,
    pendingPromptTokens: 0,
    contextTokens: 100 * running,
    generatedTokens: tokens,
    ...(ended && { ended }),
  };
  const attention: AttentionInstanceRecord = {
    id: 'host-a0',
    state: 'ready',
    slots: 32,
    slotsInUse: running,
    waiting: 0,
    prefixCache: null,
    steps: 1,
    phasesMs: {},
    pace,
  };
  const host: HostRecord = {
    host: 'host',
    role: 'both',
    model,
    weightForm: 'f32',
    process: 1,
    startedAtMs: 0,
    heartbeatAtMs: 0,
    attention: [attention],
    experts: [
      {
        id: 0,
        state: 'ready',
        slots: 32,
        layerSteps: 0,
        meanActivated: 0,
        maxActivated: 0,
        groups: 0,
        groupsMs: 0,
      },
    ],
    traffic: [],
    exchange: null,
    address: null,
    sizing: null,
  };
  return { model, hosts: [host], placement: null, queued };
}
