import type { Regime } from '../exchange/regime.ts';
import type { WeightForm } from '../model/config.ts';

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

export interface AttentionInstanceRecord {
  readonly id: string;
  readonly state: InstanceState;
  /** KV slots in all and in use. */
  readonly slots: number;
  readonly slotsInUse: number;
  readonly waiting: number;
  /** Steps since the start, and the milliseconds that each part of them took together. */
  readonly steps: number;
  readonly phasesMs: Readonly<Record<string, number>>;
}

export interface ExpertInstanceRecord {
  /** Number of the instance in the placement. */
  readonly id: number;
  readonly state: InstanceState;
  /** C, replica slots per layer. */
  readonly slots: number;
  /** Mean and largest number of distinct activated experts in one layer step since the start. */
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

/** One host process, renewed by its heartbeat. */
export interface HostRecord {
  readonly host: string;
  readonly role: HostRole;
  readonly model: string;
  readonly weightForm: WeightForm;
  readonly process: number;
  readonly startedAtMs: number;
  readonly heartbeatAtMs: number;
  readonly attention: readonly AttentionInstanceRecord[];
  readonly experts: readonly ExpertInstanceRecord[];
  readonly traffic: readonly TrafficRecord[];
  /** Of a host with attention instances. */
  readonly exchange: ExchangeRecord | null;
  /** Of an expert host that is ready, where it listens. */
  readonly address: ExchangeAddress | null;
}

/** A host that has not renewed its record for this long is gone. */
export const HOST_TTL_MS = 5_000;
export const HEARTBEAT_INTERVAL_MS = 1_000;
