import type { StepLimits } from '../../shared/batching/plan-step.ts';
import type { GatePlacement } from '../../shared/model/config.ts';
import type { ExchangeAddress, PaceRecord, PrefixCacheRecord } from '../../shared/protocol/member.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { ExchangeCounters, ExchangeStatistics } from '../exchange/exchange.ts';
import type { ExchangeMode } from '../exchange/exchange-options.ts';
import type { SharedExchange } from '../exchange/lane-memory.ts';
import type { AttentionSizes } from '../runtime/kernel/attention-layout.ts';
import type { KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import type { Loss } from './interruption.ts';
import type { TraceMemory } from './trace-sampler.ts';

/** Where an attention instance finds its experts. */
export type ExpertSource =
  /** On its own thread. */
  | { readonly kind: 'monolith' }
  /** On this host, behind the lane that belongs to this attention instance. */
  | {
      readonly kind: 'local';
      readonly placement: Placement;
      readonly shared: SharedExchange;
      readonly lane: number;
      /** Upper bound of the wait for the answer to one layer step. */
      readonly overdueAfterMs: number;
    }
  /** On other hosts. */
  | {
      readonly kind: 'remote';
      readonly placement: Placement;
      readonly redisUrl: string;
      readonly mode: ExchangeMode;
      /** Node of this host, and where the expert hosts listen, by their ids. */
      readonly node: string;
      readonly addresses: Readonly<Record<string, ExchangeAddress | null>>;
      /** Memory by which the attention instances of this host step together; null where each goes alone. */
      readonly round: RoundSource | null;
      /** Upper bound of the wait for the answer to one layer step. */
      readonly overdueAfterMs: number;
    };

/** Version of the placement under which an instance begins; 0 where there is none. */
export const placementVersionOf = (experts: ExpertSource): number =>
  experts.kind === 'monolith' ? 0 : experts.placement.version;

/** Experts of which a placement says where they are. */
export type PlacedExperts = Exclude<ExpertSource, { kind: 'monolith' }>;

/** One instance's place among those of its host that step together. */
export interface RoundSource {
  readonly memory: SharedArrayBuffer;
  readonly index: number;
  /** Rows of each instance. */
  readonly rows: readonly SharedArrayBuffer[];
}

export interface AttentionLimits extends StepLimits {
  /** KV slots: sequences that run at once. */
  readonly slots: number;
  /** Sequences that wait for a KV slot. */
  readonly waiting: number;
  /** Bound of the keys and values that are kept beyond their sequences; 0 keeps none. */
  readonly prefixCacheBytes: number;
}

/** Kernel memory of an attention instance. */
export interface AttentionKernels {
  readonly source: KernelSource;
  readonly team: TeamSource;
  /** Null where its matrices are f32, which ONNX Runtime computes; its thread then only helps with experts. */
  readonly computes:
    | (AttentionSizes & {
        /** Where its weights and buffers go, and its KV cache. */
        readonly offset: number;
        readonly bytes: number;
        readonly cacheOffset: number;
        readonly cacheBytes: number;
        /** Number of its board in the team. */
        readonly board: number;
      })
    | null;
}

/** What the thread of an attention instance is started with. */
export interface AttentionWorkerData {
  /** Unique among all hosts of the model. */
  readonly id: string;
  readonly model: ModelSource;
  readonly limits: AttentionLimits;
  readonly experts: ExpertSource;
  readonly gate: GatePlacement;
  /** Absent where ONNX Runtime computes everything. */
  readonly kernels?: AttentionKernels;
  /** Window of routing results that the host stores. */
  readonly trace: TraceMemory;
  /** One 32-bit word: steps since the start, for those who cannot wait for a report. */
  readonly stepCounter: SharedArrayBuffer;
}

export type AttentionCommand =
  | { readonly kind: 'submit'; readonly job: SequenceJob; readonly emitted: readonly number[] }
  /** End the sequence of one choice, or those of all where none is named. */
  | { readonly kind: 'cancel'; readonly requestId: string; readonly choice?: number | undefined }
  /** Go on under another placement, from the next step on. */
  | { readonly kind: 'place'; readonly experts: PlacedExperts }
  /** End as a defect would make it, for those who try what follows. */
  | { readonly kind: 'crash' }
  | { readonly kind: 'stop' };

/** The end of one sequence. */
export interface EndedSequence {
  readonly requestId: string;
  readonly choice: number;
  readonly outcome: SequenceOutcome;
}

/** What an attention instance counted since its start. */
export interface AttentionStatistics {
  readonly slotsInUse: number;
  readonly waiting: number;
  readonly prefixCache: PrefixCacheRecord | null;
  readonly links: readonly ExchangeStatistics[];
  readonly exchange: ExchangeCounters;
  readonly steps: number;
  /** Milliseconds of each of `PHASES` since the start. */
  readonly phasesMs: readonly number[];
  /** Null until a step was computed. */
  readonly pace: PaceRecord | null;
}

export type AttentionReport =
  | { readonly kind: 'ready'; readonly loadMs: number }
  | { readonly kind: 'failed'; readonly message: string }
  /** It sends its steps under this placement version now. */
  | { readonly kind: 'placed'; readonly version: number }
  /** A step failed because of the way to experts; it is tried again, best under a placement without what is lost. */
  | {
      readonly kind: 'interrupted';
      readonly version: number;
      readonly loss: Loss | null;
      readonly message: string;
    }
  /** After each step, and after a change between steps. */
  | {
      readonly kind: 'progress';
      readonly events: readonly (readonly [requestId: string, event: TokenEvent])[];
      readonly ended: readonly EndedSequence[];
      readonly statistics: AttentionStatistics;
      /** Unix time in milliseconds. */
      readonly saidAtMs: number;
    };
