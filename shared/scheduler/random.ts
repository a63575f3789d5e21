import { countPairs } from './count-pairs.ts';
import { LayerScheduler } from './layer-scheduler.ts';
import type { LayoutIndex } from './layout-index.ts';
import { noReplica, type SchedulerLimits } from './limits.ts';
import { NOT_ACTIVATED } from './scheduler.ts';
import type { SchedulerName } from './scheduling.ts';

/**
 * A baseline: gives every activated expert to one of its replicas at random.
 *
 * The numbers come from a counter-based generator: a hash of seed, expert and the number of pairs of every expert in this
 * step. So they differ from step to step, yet hosts with the same seed draw the same ones, whatever steps each has seen
 * before, and the order of the tokens does not matter.
 */
export class RandomScheduler extends LayerScheduler {
  override readonly name: SchedulerName = 'random';
  readonly #seed: number;
  /** [E]: pairs of each expert. */
  readonly #counts: Int32Array;

  /** @param seed 32 bits, the same on all hosts. */
  constructor(limits: SchedulerLimits, seed: number) {
    super(limits);
    this.#seed = seed;
    this.#counts = new Int32Array(limits.experts);
  }

  protected override assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void {
    const { instanceOf, load } = this;
    const { hostOffsets, hostInstances, experts } = index;
    const counts = this.#counts;
    countPairs(expertIds, pairs, topK, experts, counts);
    let stepHash = this.#seed | 0;
    for (let expert = 0; expert < experts; expert += 1) stepHash = mix(stepHash, counts[expert]);
    instanceOf.fill(NOT_ACTIVATED);
    load.fill(0);
    let activated = 0;
    let aMax = 0;
    for (let expert = 0; expert < experts; expert += 1) {
      if (counts[expert] === 0) continue;
      const first = hostOffsets[expert];
      const replicas = hostOffsets[expert + 1] - first;
      if (replicas === 0) throw noReplica(expert);
      const instance = hostInstances[first + ((mix(stepHash, expert) >>> 0) % replicas)];
      instanceOf[expert] = instance;
      load[instance] += 1;
      activated += 1;
      aMax = Math.max(aMax, load[instance]);
    }
    this.activated = activated;
    this.aMax = aMax;
  }
}

/** Takes one more number into a hash of 32 bits. Constants and shifts are those of MurmurHash3's finaliser. */
function mix(hash: number, value: number): number {
  let mixed = (Math.imul(hash, 31) + value + 0x9e3779b9) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
