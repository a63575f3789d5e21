import { countPairs } from './count-pairs.ts';
import { LayerScheduler } from './layer-scheduler.ts';
import type { LayoutIndex } from './layout-index.ts';
import { noReplica, type SchedulerLimits } from './limits.ts';

/** A scheduler that chooses a replica for each pair by itself, so that one expert may be computed by several instances. */
export abstract class PairScheduler extends LayerScheduler {
  readonly #instanceOfPair: Int32Array;
  /** [E]: pairs of each expert. */
  readonly #counts: Int32Array;
  /** [replicas in all]: pairs given to each replica. */
  readonly #rowsOf: Int32Array;

  constructor(limits: SchedulerLimits) {
    super(limits);
    this.#instanceOfPair = new Int32Array(limits.maxTokens * limits.topK);
    this.#counts = new Int32Array(limits.experts);
    this.#rowsOf = new Int32Array(limits.experts * limits.instances);
  }

  /**
   * Chooses a replica for each pair. All ids are in range and every activated expert has a replica.
   *
   * @param instanceOfPair [pairs], to be set: the chosen instance.
   * @param rowsOf [replicas in all], zeroed, to be set: the number of pairs that each replica was chosen for.
   */
  protected abstract choose(
    index: LayoutIndex,
    expertIds: Int32Array,
    pairs: number,
    instanceOfPair: Int32Array,
    rowsOf: Int32Array,
  ): void;

  protected override assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void {
    const counts = this.#counts;
    countPairs(expertIds, pairs, topK, index.experts, counts);
    for (let expert = 0; expert < index.experts; expert += 1) {
      if (counts[expert] > 0 && index.replicas[expert] === 0) throw noReplica(expert);
    }
    this.#rowsOf.fill(0, 0, index.hostInstances.length);
    this.choose(index, expertIds, pairs, this.#instanceOfPair, this.#rowsOf);
    this.instanceOfPair = this.summarise(index, this.#rowsOf) ? this.#instanceOfPair : undefined;
  }
}
