import { AebsScheduler } from './aebs.ts';
import type { LayoutIndex } from './layout-index.ts';
import type { SchedulerLimits } from './limits.ts';
import type { SchedulerName } from './scheduling.ts';

/** Value of `#via` for an instance that the search has not reached. */
const NOT_REACHED = -1;
/** Value of `#via` for the instance at which the search started. */
const START = -2;

/**
 * The least a_max that any choice of one replica per activated expert can reach: unit jobs on restricted machines. It is the
 * yardstick for AEBS, and costs a few times as much.
 *
 * It starts from AEBS's choice. While an instance has a_max experts, it searches breadth first for a chain of moves that
 * ends on an instance with at most a_max − 2: an expert moves from the busiest instance to another one that holds it, from
 * there another expert moves on, and so forth. The chain takes one expert off the busiest instance and makes no other one
 * as busy. Ties go to the lowest ids, so that all hosts find the same chains.
 *
 * When no chain is found, a_max is the optimum. Let S be the instances that the search reached from the busiest one. All of
 * them have at least a_max − 1 experts, and the busiest has a_max, so together at least |S| · (a_max − 1) + 1. None of these
 * experts has a replica outside of S, since the search would have reached it. So whatever the choice, these experts fall on
 * |S| instances, and one of them gets a_max or more.
 *
 * Source: augmenting paths for matchings (Berge 1957), in the form for load balancing of Harvey, Ladner, Lovász and Tamir,
 * "Semi-matchings for bipartite graphs and load balancing", J. Algorithms 59 (2006).
 */
export class OptimalScheduler extends AebsScheduler {
  override readonly name: SchedulerName = 'optimal';
  /** [n_e]: instances in the order in which the search reached them. */
  readonly #queue: Int32Array;
  /** [n_e]: the replica by which the search reached each instance. */
  readonly #via: Int32Array;

  constructor(limits: SchedulerLimits) {
    super(limits);
    this.#queue = new Int32Array(limits.instances);
    this.#via = new Int32Array(limits.instances);
  }

  protected override assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void {
    super.assign(index, expertIds, pairs, topK);
    const lowestPossible = Math.ceil(this.activated / index.instances);
    while (this.aMax > lowestPossible) {
      const busiest = this.load.indexOf(this.aMax);
      if (busiest < 0) {
        this.aMax -= 1;
      } else if (!this.#relieve(busiest, index)) {
        return;
      }
    }
  }

  /** Takes one expert off `busiest` without making another instance as busy; false when there is no way. */
  #relieve(busiest: number, index: LayoutIndex): boolean {
    const queue = this.#queue;
    const via = this.#via.fill(NOT_REACHED);
    const { instanceOf, load } = this;
    const { heldOffsets, heldReplicas, replicaExpert, hostOffsets, hostInstances } = index;
    const target = this.aMax - 2;
    via[busiest] = START;
    queue[0] = busiest;
    let reached = 1;
    for (let head = 0; head < reached; head += 1) {
      const instance = queue[head];
      for (let slot = heldOffsets[instance]; slot < heldOffsets[instance + 1]; slot += 1) {
        const expert = replicaExpert[heldReplicas[slot]];
        if (instanceOf[expert] !== instance) continue;
        for (let replica = hostOffsets[expert]; replica < hostOffsets[expert + 1]; replica += 1) {
          const host = hostInstances[replica];
          if (via[host] !== NOT_REACHED) continue;
          via[host] = replica;
          if (load[host] <= target) {
            this.#moveAlong(host, index);
            return true;
          }
          queue[reached] = host;
          reached += 1;
        }
      }
    }
    return false;
  }

  /** Moves one expert along each step of the chain that the search took to `end`. */
  #moveAlong(end: number, index: LayoutIndex): void {
    const { instanceOf, load } = this;
    let instance = end;
    load[end] += 1;
    for (let replica = this.#via[end]; replica !== START; replica = this.#via[instance]) {
      const expert = index.replicaExpert[replica];
      const from = instanceOf[expert];
      instanceOf[expert] = instance;
      instance = from;
    }
    load[instance] -= 1;
  }
}
