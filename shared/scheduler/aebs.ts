import { LayerScheduler } from './layer-scheduler.ts';
import type { LayoutIndex } from './layout-index.ts';
import { noReplica, unknownExpert } from './limits.ts';
import { NOT_ACTIVATED } from './scheduler.ts';
import type { SchedulerName } from './scheduling.ts';

/** Value of `instanceOf` inside a call, between finding an expert activated and choosing its instance. */
const UNASSIGNED = -3;

/**
 * Activated-expert-balanced scheduling (AEBS): chooses one replica for every activated expert of a layer step, so that the
 * largest number of distinct activated experts on one instance, a_max, stays low. Decode-time expert execution is bound by
 * reading weights, so a_max is what a layer waits for.
 *
 * Source: Janus (arXiv 2512.13525), Algorithm 1, with order and ties fixed: experts by (replica count, id) ascending, each
 * to its hosting instance with the least load, ties to the lowest instance id.
 */
export class AebsScheduler extends LayerScheduler {
  override readonly name: SchedulerName = 'aebs';

  protected override assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void {
    this.#markActivated(expertIds, pairs, topK, index.experts);
    this.#assignActivated(index);
  }

  #markActivated(expertIds: Int32Array, pairs: number, topK: number, experts: number): void {
    const instanceOf = this.instanceOf;
    instanceOf.fill(NOT_ACTIVATED);
    const last = experts - 1;
    // A bad id shows in the sign after the loop, as in `countPairs`; a write out of range has no effect.
    let signs = 0;
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      signs |= expert | (last - expert);
      instanceOf[expert] = UNASSIGNED;
    }
    if (signs < 0) throw unknownExpert(expertIds, pairs, topK, experts);
  }

  #assignActivated(index: LayoutIndex): void {
    const { instanceOf, load } = this;
    const { order, hostOffsets, hostInstances, experts } = index;
    load.fill(0);
    let activated = 0;
    let aMax = 0;
    for (let position = 0; position < experts; position += 1) {
      const expert = order[position];
      if (instanceOf[expert] === NOT_ACTIVATED) {
        continue;
      }
      const end = hostOffsets[expert + 1];
      let best = -1;
      let least = Number.MAX_SAFE_INTEGER;
      // Hosts ascend, so the strict comparison gives ties to the lowest instance id.
      for (let host = hostOffsets[expert]; host < end; host += 1) {
        const instance = hostInstances[host];
        if (load[instance] < least) {
          least = load[instance];
          best = instance;
        }
      }
      if (best < 0) throw noReplica(expert);
      instanceOf[expert] = best;
      load[best] = least + 1;
      activated += 1;
      aMax = Math.max(aMax, least + 1);
    }
    this.activated = activated;
    this.aMax = aMax;
  }
}
