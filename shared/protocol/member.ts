import type { Regime } from '../exchange/regime.ts';
import type { WeightForm } from '../model/config.ts';
import type { InstanceChoice } from '../sizing/choose-instances.ts';

export type HostRole = 'attention' | 'experts' | 'both';
export type InstanceState = 'starting' | 'loading' | 'ready' | 'draining' | 'gone';

/** What `GET /v1/models` tells of a model. */
export interface ModelCard {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly contextLength: number;
  readonly vocabularySize: number;
}

/** What an attention instance keeps of prompts' beginnings, and what it counted since its start. */
export interface PrefixCacheRecord {
  readonly blocks: number;
  /** Bytes of the keys and values that are kept, and their bound. */
  readonly bytes: number;
  readonly maxBytes: number;
  /** Times that a sequence went on from kept tokens. */
  readonly hits: number;
  /** Tokens of prompts that were copied instead of computed, and those that were looked for in vain. */
  readonly hitTokens: number;
  readonly missTokens: number;
  /** Blocks that made way for others. */
  readonly evictions: number;
}

/** Answers that ended. JSON-serialisable. */
export interface AnswerCount {
  readonly answers: number;
  /** Tokens of them all, and the sum of the squares of each one's. */
  readonly tokens: number;
  readonly tokensSquared: number;
}

/** How fast an attention instance got on of late. */
export interface PaceRecord {
  /** Mean time of a step, and what a prompt token in it adds to that. */
  readonly stepMs: number;
  readonly promptTokenMs: number;
  /** Prompt tokens that one step computes at most beside sequences that decode. */
  readonly promptRowsPerStep: number;
  /** Prompt tokens of a sequence, on average. */
  readonly promptTokens: number;
  /** Mean time for which a sequence held its KV slot; null until one has ended. */
  readonly sequenceMs: number | null;
  /** Prompt tokens that are still to be computed, of all sequences that it has. */
  readonly pendingPromptTokens: number;
  /** Tokens in the KV cache, of all sequences that hold a slot. */
  readonly contextTokens: number;
  /** Answer tokens that it generated since its start. */
  readonly generatedTokens: number;
  /** Answers that ended on it since then; absent in records of versions that did not count them. */
  readonly ended?: AnswerCount;
}

export interface AttentionInstanceRecord {
  readonly id: string;
  readonly state: InstanceState;
  /** KV slots in all and in use. */
  readonly slots: number;
  readonly slotsInUse: number;
  readonly waiting: number;
  /** Null where no prefixes are kept. */
  readonly prefixCache: PrefixCacheRecord | null;
  /**
   * Steps since the start, and the milliseconds that each part of them took together. One part, `store`, is not on the
   * instance's thread but beside its next step: from the end of a step until Redis has its events.
   */
  readonly steps: number;
  readonly phasesMs: Readonly<Record<string, number>>;
  /** Absent until the instance has computed a step. */
  readonly pace?: PaceRecord;
}

export interface ExpertInstanceRecord {
  /** Number of the instance in the placement. */
  readonly id: number;
  readonly state: InstanceState;
  /** C, replica slots per layer. */
  readonly slots: number;
  /** Layer steps since the start that its thread took part in. */
  readonly layerSteps: number;
  /** Mean and largest number of distinct activated experts of its own in one of them. */
  readonly meanActivated: number;
  readonly maxActivated: number;
  /** Groups of rows of one expert that its thread computed since the start, and the milliseconds that they took. */
  readonly groups: number;
  readonly groupsMs: number;
}

/** Where an expert host takes layer steps without a broker. */
export interface ExchangeAddress {
  /** Hosts of the same node use the Unix socket, others TCP. */
  readonly node: string;
  readonly path: string | null;
  readonly host: string;
  readonly port: number;
}

/** What went over one way from an attention host to experts since the host started. */
export interface TrafficRecord {
  /** Expert host, or `all` for the relay. */
  readonly host: string;
  /** `shared-memory`, `socket`, `redis` or `relay`. */
  readonly kind: string;
  /** Layer steps; those of attention instances that step together count once. */
  readonly layerSteps: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  /** Both directions. */
  readonly bytes: number;
  readonly meanRoundTripUs: number;
  readonly maxRoundTripUs: number;
  /** Part of the round trips, in milliseconds since the start, that summed the experts' outputs. */
  readonly combineMs: number;
  /**
   * Parts that only `shared-memory` tells, else 0: scheduling and grouping, and computing groups of rows of one expert on the
   * threads of the attention instances, beside the expert instances.
   */
  readonly scheduleMs: number;
  readonly assistMs: number;
  readonly assistedGroups: number;
}

/** What a regime of the second phase was predicted to take per layer step, and took. */
export interface RegimeRecord {
  readonly regime: Regime;
  /** Layer steps of which there was a prediction. */
  readonly layerSteps: number;
  readonly meanPredictedUs: number;
  readonly meanMeasuredUs: number;
}

/** The layer steps that an attention host ran since it started. */
export interface ExchangeRecord {
  /** Those of attention instances that step together count once. */
  readonly layerSteps: number;
  /** Mean over the layer steps of a_max: the largest number of experts that one activated on any expert instance. */
  readonly meanAMax: number;
  /** Empty where the regime is not chosen. */
  readonly regimes: readonly RegimeRecord[];
}

/** Where a host stands between one placement and the next. */
export interface HostPlacementRecord {
  /** Attention hosts: the oldest version under which an instance of it sends layer steps. Expert hosts: the newest it serves. */
  readonly version: number;
  /** Expert hosts: version that is not in force yet, whose replicas it has loaded; else null. */
  readonly prepared: number | null;
  /** Expert hosts: replicas per layer that each of its instances can hold beyond its slots. */
  readonly spareSlots: number;
}

/** One host process, renewed by its heartbeat. */
export interface HostRecord {
  readonly host: string;
  readonly role: HostRole;
  readonly model: string;
  readonly weightForm: WeightForm;
  readonly process: number;
  readonly startedAtMs: number;
  readonly heartbeatAtMs: number;
  /** Processor time that all threads of its process took since it started; absent in records of versions that do not tell. */
  readonly processorMs?: number;
  readonly attention: readonly AttentionInstanceRecord[];
  readonly experts: readonly ExpertInstanceRecord[];
  readonly traffic: readonly TrafficRecord[];
  /** Of a host with attention instances. */
  readonly exchange: ExchangeRecord | null;
  /** Of an expert host that is ready, where it listens. */
  readonly address: ExchangeAddress | null;
  /** Absent until the host serves under a placement. */
  readonly placement?: HostPlacementRecord;
  /** Of a host with both pools: how many instances of each it was given, and why. */
  readonly sizing: InstanceChoice | null;
}

/** A host that has not renewed its record for this long is gone. */
export const HOST_TTL_MS = 5_000;
export const HEARTBEAT_INTERVAL_MS = 1_000;
