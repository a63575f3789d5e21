import type { Placement } from '../../../shared/scheduler/layout.ts';
import { indexLayout, type LayoutIndex } from '../../../shared/scheduler/layout-index.ts';
import type { Scheduler } from '../../../shared/scheduler/scheduler.ts';
import type { Bed } from '../bed.ts';
import { EXPERTS, TOP_K } from '../simulated-model.ts';

/** Largest number of rows in a layer step. */
export const MOST_ROWS = 24;

/** Schedules layer steps under a placement for one host, which does so alone. */
export class StepScheduler {
  readonly #bed: Bed;
  readonly #host: string;
  readonly #placement: Placement;
  readonly #scheduler: Scheduler;
  readonly #indexes: readonly LayoutIndex[];

  constructor(bed: Bed, placement: Placement, host: string) {
    this.#bed = bed;
    this.#host = host;
    this.#placement = placement;
    const instances = placement.instances.length;
    const limits = { maxTokens: MOST_ROWS, topK: TOP_K, experts: EXPERTS, instances };
    this.#scheduler = bed.parts.createScheduler(placement, limits, host);
    this.#indexes = placement.layers.map((layout) => indexLayout(layout, EXPERTS));
  }

  /** Returns the instance of each expert. */
  schedule(step: string, layer: number, expertIds: Int32Array, rows: number): Int32Array {
    this.#scheduler.schedule(this.#indexes[layer]!, expertIds, rows, TOP_K);
    const { instanceOf } = this.#scheduler;
    this.#bed.checks.assigned(step, this.#host, this.#placement.version, layer, instanceOf);
    return instanceOf;
  }
}
