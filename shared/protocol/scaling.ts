import type { AMaxTable } from '../scaling/a-max-table.ts';
import type { ScalerState, ScalingAction, ScalingLimits } from '../scaling/decide.ts';
import type { DemandSample, DemandWindowLimits } from '../scaling/demand-window.ts';
import type { LoadMeasurement } from '../scaling/fit-model.ts';
import type { FitQuality } from '../scaling/least-squares.ts';
import type { Counters } from '../scaling/observe.ts';
import type { PerformanceModel } from '../scaling/performance-model.ts';
import type { Refinement } from '../scaling/refine.ts';
import type { PoolSizes, SizeBounds } from '../scaling/solver.ts';

/** What a profiling run found out about a model on its instances. */
export interface PerformanceProfile {
  /** Unix time in milliseconds. */
  readonly measuredAtMs: number;
  readonly model: PerformanceModel;
  /** By part of the model. */
  readonly quality: Readonly<Record<string, FitQuality>>;
  /** C, replica slots per expert instance and layer. */
  readonly capacity: number;
  readonly table: AMaxTable;
  /** What it was fitted to, for a profile of another layout to be fitted to as well; absent in those of earlier versions. */
  readonly loads?: readonly LoadMeasurement[];
}

/** a_max as it is with what is routed of late, in place of the profiling run's. */
export interface TrafficTable {
  /** Unix time in milliseconds. */
  readonly madeAtMs: number;
  /** C, replica slots per expert instance and layer. */
  readonly capacity: number;
  readonly table: AMaxTable;
}

/** What whoever runs a model wants of its scaler. */
export interface ScalingTarget {
  /** TPOT SLO, in milliseconds. */
  readonly tpotMs: number;
  /** TTFT SLO, in milliseconds; absent: none, so that waits for a slot do not count. */
  readonly ttftMs?: number;
  readonly bounds: SizeBounds;
  readonly limits: ScalingLimits;
  readonly window: DemandWindowLimits;
}

/** What the scaler keeps of a model. */
export interface ScalerRecord {
  /** Counts the rounds; a round of an old one is refused. */
  readonly version: number;
  readonly state: ScalerState;
  readonly counters: Counters;
  /** Ascending by time, within the long window. */
  readonly samples: readonly DemandSample[];
  /** How the profile of `profiledAtMs` fits what is measured. */
  readonly refinement: Refinement;
  readonly profiledAtMs: number;
}

/** Sizes that whoever starts and ends instances follows. */
export interface WantedSizes extends PoolSizes {
  /** Rises with every change. */
  readonly version: number;
  /** Unix time in milliseconds. */
  readonly atMs: number;
  readonly reason: string;
}

/** One decision, for a human to read. */
export interface ScalerDecision {
  /** Unix time in milliseconds. */
  readonly atMs: number;
  readonly action: ScalingAction;
  readonly wanted: PoolSizes;
  readonly ready: PoolSizes;
  readonly reason: string;
  /** What the profile's costs were multiplied by, and how far it is off without that, relative to what is measured. */
  readonly correction: number;
  readonly drift: number;
}
