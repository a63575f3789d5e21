/** The schedulers that `createScheduler` makes. */
export const SCHEDULER_NAMES = ['aebs', 'optimal', 'token-balanced', 'random', 'eplb', 'aebs-cost'] as const;
export type SchedulerName = (typeof SCHEDULER_NAMES)[number];

/** What some schedulers take besides routing and layout. All hosts must have the same. */
export interface SchedulerOptions {
  /** Of `random`: 32 bits; 0 when absent. */
  readonly seed?: number | undefined;
  /** Of `aebs-cost`: time to read one expert's weights, in any unit; 1 when absent. */
  readonly costPerExpert?: number | undefined;
  /** Of `aebs-cost`: time to compute one row, in the same unit; 0 when absent, which makes it AEBS. */
  readonly costPerRow?: number | undefined;
}

/** A scheduler with its options. JSON-serialisable. */
export interface Scheduling extends SchedulerOptions {
  readonly scheduler: SchedulerName;
}
