import { JanusError } from '../errors/janus-error.ts';
import type { LayoutIndex } from './layout-index.ts';
import { checkLimits, checkRouting, type SchedulerLimits, unknownExpert } from './limits.ts';

/** Value of `instanceOf` for an expert that no token is routed to. */
export const NOT_ACTIVATED = -1;
/** Value of `instanceOf` inside a call, between finding an expert activated and choosing its instance. */
const UNASSIGNED = -2;

/**
 * Activated-expert-balanced scheduling (AEBS): chooses one replica for every activated expert of a layer step, so that the
 * largest number of distinct activated experts on one instance, a_max, stays low. Decode-time expert execution is bound by
 * reading weights, so a_max is what a layer waits for.
 *
 * The result depends on nothing but routing and layout, so that all hosts reach the same one without asking each other.
 *
 * Source: Janus (arXiv 2512.13525), Algorithm 1, with order and ties fixed: experts by (replica count, id) ascending, each
 * to its hosting instance with the least load, ties to the lowest instance id.
 *
 * The outputs belong to the last call to `schedule`, which allocates nothing. After an error they mean nothing.
 */
export class AebsScheduler {
  readonly limits: SchedulerLimits;
  /** [E]: the instance that computes each expert, or `NOT_ACTIVATED`. */
  readonly instanceOf: Int32Array;
  /** [n_e]: distinct activated experts given to each instance. */
  readonly load: Int32Array;
  /** Number of distinct activated experts. */
  activated = 0;
  /** The largest entry of `load`. */
  aMax = 0;

  /** @throws JanusError when a limit is not a positive integer. */
  constructor(limits: SchedulerLimits) {
    checkLimits(limits);
    this.limits = limits;
    this.instanceOf = new Int32Array(limits.experts).fill(NOT_ACTIVATED);
    this.load = new Int32Array(limits.instances);
  }

  /**
   * Assigns the activated experts of one layer step to instances.
   *
   * @param index The layer's layout; its experts and instances may be fewer than the limits.
   * @param expertIds [rows, topK], row-major: the experts that the gate picked for each token.
   * @throws JanusError for a routing or layout beyond the limits, an expert id out of range, or an activated expert
   *   without a replica.
   */
  schedule(index: LayoutIndex, expertIds: Int32Array, rows: number, topK: number): void {
    checkRouting(this.limits, expertIds, rows, topK);
    if (index.experts > this.limits.experts || index.instances > this.limits.instances) {
      throw new JanusError(
        `the layout has ${index.experts} experts on ${index.instances} instances; this scheduler was made for at most ` +
          `${this.limits.experts} on ${this.limits.instances}`,
      );
    }
    this.#markActivated(expertIds, rows * topK, topK, index.experts);
    this.#assign(index);
  }

  #markActivated(expertIds: Int32Array, pairs: number, topK: number, experts: number): void {
    const instanceOf = this.instanceOf;
    instanceOf.fill(NOT_ACTIVATED);
    // As unsigned numbers negative ids are large ones, so the highest id tells of both kinds of bad id. Looking at it once,
    // after the loop, is twice as fast as a comparison with a way out at every id; a write out of range has no effect.
    let highest = -1;
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair] >>> 0;
      highest = Math.max(highest, expert);
      instanceOf[expert] = UNASSIGNED;
    }
    if (highest >= experts) {
      throw unknownExpert(expertIds, pairs, topK, experts);
    }
  }

  #assign(index: LayoutIndex): void {
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
      if (best < 0) {
        throw new JanusError(
          `expert ${expert} is activated but has no replica; load it on an expert instance`,
        );
      }
      instanceOf[expert] = best;
      load[best] = least + 1;
      activated += 1;
      aMax = Math.max(aMax, least + 1);
    }
    this.activated = activated;
    this.aMax = aMax;
  }
}
