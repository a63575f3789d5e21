import { schedulerOf } from '../../shared/scheduler/create-scheduler.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import type { Scheduler } from '../../shared/scheduler/scheduler.ts';

/** How steps of one placement version are scheduled. */
export interface ServedTable {
  readonly version: number;
  readonly scheduler: Scheduler;
  readonly indexes: readonly LayoutIndex[];
}

/** The placement versions whose steps a lane takes: a few at once, while a pool goes from one to the next. */
export class ServedTables {
  readonly #limits: SchedulerLimits;
  /** The newest last. */
  #tables: readonly ServedTable[] = [];

  constructor(limits: SchedulerLimits, first: Placement) {
    this.#limits = limits;
    this.serve([first]);
  }

  get newestVersion(): number {
    return this.#tables.at(-1)!.version;
  }

  /** Takes steps of these placements and of no others. */
  serve(placements: readonly Placement[]): void {
    this.#tables = placements
      .toSorted((a, b) => a.version - b.version)
      .map((placement) => this.of(placement.version) ?? this.#make(placement));
  }

  /** The table of `version`; undefined where its steps are not taken. */
  of(version: number): ServedTable | undefined {
    for (const table of this.#tables) {
      if (table.version === version) return table;
    }
    return undefined;
  }

  #make(placement: Placement): ServedTable {
    return {
      version: placement.version,
      scheduler: schedulerOf(placement, this.#limits),
      indexes: placement.layers.map((layout) => indexLayout(layout, placement.experts)),
    };
  }
}
