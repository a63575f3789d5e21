import type { LayoutIndex } from './layout-index.ts';
import type { SchedulerLimits } from './limits.ts';
import { PairScheduler } from './pair-scheduler.ts';
import type { SchedulerName } from './scheduling.ts';

/**
 * A baseline: balances tokens, not activated experts. The pairs of each expert go round its replicas in turn, so that all
 * replicas get the same number of tokens, give or take one. This wakes up every replica that there are pairs for, and so
 * drives a_max towards the capacity: right where time goes with tokens, wrong where it goes with the weights read.
 *
 * The turn of expert e begins at replica e mod R(e): experts with fewer pairs than replicas would otherwise all fall to
 * the instances with the lowest ids.
 */
export class TokenBalancedScheduler extends PairScheduler {
  override readonly name: SchedulerName = 'token-balanced';
  /** [E]: the replica that gets the next pair of each expert. */
  readonly #next: Int32Array;

  constructor(limits: SchedulerLimits) {
    super(limits);
    this.#next = new Int32Array(limits.experts);
  }

  protected override choose(
    index: LayoutIndex,
    expertIds: Int32Array,
    pairs: number,
    instanceOfPair: Int32Array,
    rowsOf: Int32Array,
  ): void {
    const { hostOffsets, hostInstances, replicas, experts } = index;
    const next = this.#next;
    for (let expert = 0; expert < experts; expert += 1) {
      next[expert] = hostOffsets[expert] + (replicas[expert] > 0 ? expert % replicas[expert] : 0);
    }
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      const replica = next[expert];
      next[expert] = replica + 1 === hostOffsets[expert + 1] ? hostOffsets[expert] : replica + 1;
      instanceOfPair[pair] = hostInstances[replica];
      rowsOf[replica] += 1;
    }
  }
}
