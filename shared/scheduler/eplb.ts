import type { LayoutIndex } from './layout-index.ts';
import { PairScheduler } from './pair-scheduler.ts';
import type { SchedulerName } from './scheduling.ts';

/**
 * A baseline: how serving systems choose a replica under a layout of DeepSeek's expert-parallel load balancer (EPLB), which
 * itself only computes layouts. A pair goes to the replica whose number among those of its expert is the number of the
 * pair modulo the replica count, without a look at load or at other pairs.
 *
 * This is vLLM's rule (`eplb_map_to_physical_and_record`). SGLang offers two: `dynamic` draws a replica for each pair at
 * random, which spreads an expert's tokens as evenly as this rule does but differs between hosts; `static` fixes one replica
 * per expert for each sending rank, preferring near ones, which with a single sender is no choice at all.
 */
export class EplbScheduler extends PairScheduler {
  override readonly name: SchedulerName = 'eplb';

  protected override choose(
    index: LayoutIndex,
    expertIds: Int32Array,
    pairs: number,
    instanceOfPair: Int32Array,
    rowsOf: Int32Array,
  ): void {
    const { hostOffsets, hostInstances, replicas } = index;
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      const replica = hostOffsets[expert] + (pair % replicas[expert]);
      instanceOfPair[pair] = hostInstances[replica];
      rowsOf[replica] += 1;
    }
  }
}
