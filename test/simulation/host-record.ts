import type {
  AttentionInstanceRecord,
  ExpertInstanceRecord,
  HostPlacementRecord,
  HostRecord,
  HostRole,
  InstanceState,
} from '../../shared/protocol/member.ts';
import { MODEL } from './simulated-model.ts';

/** A host's record with nothing but what the simulation tells. */
export function hostRecord(
  host: string,
  role: HostRole,
  of: {
    readonly attention?: readonly AttentionInstanceRecord[];
    readonly experts?: readonly ExpertInstanceRecord[];
    readonly placement?: HostPlacementRecord | undefined;
  },
): HostRecord {
  const { attention = [], experts = [], placement } = of;
  return {
    host,
    role,
    model: MODEL,
    weightForm: 'f32',
    process: 1,
    startedAtMs: 0,
    heartbeatAtMs: Date.now(),
    attention,
    experts,
    traffic: [],
    exchange: null,
    address: null,
    ...(placement && { placement }),
    sizing: null,
  };
}

export const expertInstance = (id: number, state: InstanceState, slots: number): ExpertInstanceRecord => ({
  id,
  state,
  slots,
  layerSteps: 0,
  meanActivated: 0,
  maxActivated: 0,
  groups: 0,
  groupsMs: 0,
});

/** What an attention instance counts. */
export interface AttentionCounters {
  readonly sequences: number;
  readonly contextTokens: number;
  readonly generatedTokens: number;
  readonly stepMs: number;
}

/** @param counters absent while it has computed nothing */
export function attentionInstance(
  id: string,
  state: InstanceState,
  slots: number,
  counters: AttentionCounters | undefined,
): AttentionInstanceRecord {
  const { sequences = 0, contextTokens = 0, generatedTokens = 0, stepMs = 0 } = counters ?? {};
  return {
    id,
    state,
    slots,
    slotsInUse: sequences,
    waiting: 0,
    prefixCache: null,
    steps: 0,
    phasesMs: {},
    pace: {
      stepMs,
      promptTokenMs: 0,
      promptRowsPerStep: 1,
      promptTokens: 1,
      sequenceMs: null,
      pendingPromptTokens: 0,
      contextTokens,
      generatedTokens,
    },
  };
}
