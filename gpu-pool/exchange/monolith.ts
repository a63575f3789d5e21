import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import { RowGroups } from '../../shared/scheduler/row-groups.ts';
import type { ExpertCompute } from '../runtime/expert-compute.ts';
import { Combiner } from './combine.ts';
import type { Exchange, ExchangeCounters } from './exchange.ts';
import { GroupRunner } from './group-runner.ts';
import { Lane } from './lane.ts';
import type { LaneOptions } from './lane-layout.ts';

/**
 * No exchange at all: the experts run on the attention instance's own thread. It is the yardstick for what separating the
 * pools costs, and for whether it changes a single token.
 */
export class MonolithExchange implements Exchange {
  readonly statistics = [];
  readonly step: Lane;
  readonly #scheduler: AebsScheduler;
  readonly #groups: RowGroups;
  readonly #combiner: Combiner;
  /** All experts on instance 0. */
  readonly #index: LayoutIndex;
  readonly #runner: GroupRunner;
  #layerSteps = 0;
  #totalAMax = 0;

  constructor(shape: LaneOptions['shape'], experts: number, compute: ExpertCompute) {
    this.step = new Lane({ shape, experts, instances: 1, placedInstances: 1 });
    this.#scheduler = new AebsScheduler(this.step.limits);
    this.#groups = new RowGroups(this.step.limits, this.step.groups);
    this.#combiner = new Combiner(shape);
    const everyExpert = Array.from({ length: experts }, (_, expert) => expert);
    this.#index = indexLayout({ instances: 1, capacity: experts, slots: [everyExpert] }, experts);
    this.#runner = new GroupRunner(shape.maxRows, shape.hiddenSize, compute);
  }

  get aMax(): number {
    return this.#scheduler.aMax;
  }

  get counters(): ExchangeCounters {
    return { layerSteps: this.#layerSteps, totalAMax: this.#totalAMax, regimes: [] };
  }

  async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    const { step } = this;
    const topK = step.shape.expertsPerToken;
    step.layer = layer;
    step.rows = rows;
    this.#scheduler.schedule(this.#index, step.expertIds, rows, topK);
    this.#groups.group(step.expertIds, this.#scheduler.instanceOf, rows, topK);
    this.#runner.run(step, 0);
    this.#combiner.combine(step, 0, 1, output);
    this.#layerSteps++;
    this.#totalAMax += this.aMax;
  }

  async close(): Promise<void> {}
}
