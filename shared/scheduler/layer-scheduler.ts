import { JanusError } from '../errors/janus-error.ts';
import type { LayoutIndex } from './layout-index.ts';
import { checkLimits, checkRouting, type SchedulerLimits } from './limits.ts';
import { NOT_ACTIVATED, type Scheduler, SPREAD } from './scheduler.ts';
import type { SchedulerName } from './scheduling.ts';

/** What all schedulers have in common: the outputs, and the checks in constant time. */
export abstract class LayerScheduler implements Scheduler {
  abstract readonly name: SchedulerName;
  readonly limits: SchedulerLimits;
  readonly instanceOf: Int32Array;
  instanceOfPair: Int32Array | undefined = undefined;
  readonly load: Int32Array;
  activated = 0;
  aMax = 0;

  /** @throws JanusError when a limit is not a positive integer. */
  constructor(limits: SchedulerLimits) {
    checkLimits(limits);
    this.limits = limits;
    this.instanceOf = new Int32Array(limits.experts).fill(NOT_ACTIVATED);
    this.load = new Int32Array(limits.instances);
  }

  schedule(index: LayoutIndex, expertIds: Int32Array, rows: number, topK: number): void {
    checkRouting(this.limits, expertIds, rows, topK);
    if (index.experts > this.limits.experts || index.instances > this.limits.instances) {
      throw new JanusError(
        `the layout has ${index.experts} experts on ${index.instances} instances; this scheduler was made for at most ` +
          `${this.limits.experts} on ${this.limits.instances}`,
      );
    }
    this.assign(index, expertIds, rows * topK, topK);
  }

  /** Sets all outputs. The ids may still be out of range. */
  protected abstract assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void;

  /**
   * Sets the outputs per expert and instance from what each replica got; `instanceOfPair` is left to the caller.
   *
   * @param rowsOf [replicas in all]: pairs given to each replica.
   * @returns Whether an expert is spread over several instances.
   */
  protected summarise(index: LayoutIndex, rowsOf: Int32Array): boolean {
    const { instanceOf, load } = this;
    const { hostOffsets, hostInstances } = index;
    instanceOf.fill(NOT_ACTIVATED);
    load.fill(0);
    let activated = 0;
    let aMax = 0;
    let isAnySpread = false;
    for (let expert = 0; expert < index.experts; expert += 1) {
      for (let replica = hostOffsets[expert]; replica < hostOffsets[expert + 1]; replica += 1) {
        if (rowsOf[replica] === 0) continue;
        const instance = hostInstances[replica];
        load[instance] += 1;
        aMax = Math.max(aMax, load[instance]);
        if (instanceOf[expert] === NOT_ACTIVATED) {
          instanceOf[expert] = instance;
          activated += 1;
        } else {
          instanceOf[expert] = SPREAD;
          isAnySpread = true;
        }
      }
    }
    this.activated = activated;
    this.aMax = aMax;
    return isAnySpread;
  }
}
