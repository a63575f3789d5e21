import type { LayoutIndex } from './layout-index.ts';
import type { SchedulerLimits } from './limits.ts';
import type { SchedulerName } from './scheduling.ts';

/** Value of `instanceOf` for an expert that no token is routed to. */
export const NOT_ACTIVATED = -1;
/** Value of `instanceOf` for an expert that several instances compute, each for some of its pairs. */
export const SPREAD = -2;

/**
 * Chooses, for one layer step, the instance that computes each pair of token and expert. A *pair* is one (token, slot) of
 * the routing, numbered token · topK + slot.
 *
 * Every scheduler is a pure function of routing, layout and its options: all hosts reach the same result without asking
 * each other, and no call depends on an earlier one. The outputs belong to the last call to `schedule`, which allocates
 * nothing. After an error they mean nothing.
 */
export interface Scheduler {
  readonly name: SchedulerName;
  readonly limits: SchedulerLimits;
  /** [E]: the instance that computes each expert, `NOT_ACTIVATED`, or `SPREAD`. */
  readonly instanceOf: Int32Array;
  /**
   * [maxTokens · topK]: the instance that computes each pair, when some expert is `SPREAD`. Otherwise undefined, and
   * `instanceOf` says everything, which is what keeps schedulers that never spread an expert fast.
   */
  readonly instanceOfPair: Int32Array | undefined;
  /** [n_e]: distinct activated experts that each instance computes. */
  readonly load: Int32Array;
  /** Number of distinct activated experts. */
  readonly activated: number;
  /** The largest entry of `load`. */
  readonly aMax: number;

  /**
   * Assigns the pairs of one layer step to instances.
   *
   * @param index The layer's layout; its experts and instances may be fewer than the limits.
   * @param expertIds [rows, topK], row-major: the experts that the gate picked for each token.
   * @throws JanusError for a routing or layout beyond the limits, an expert id out of range, or an activated expert
   *   without a replica.
   */
  schedule(index: LayoutIndex, expertIds: Int32Array, rows: number, topK: number): void;
}
