import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { schedulerOf } from '../../shared/scheduler/create-scheduler.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import type { Scheduler } from '../../shared/scheduler/scheduler.ts';
import { addShare } from './combine.ts';
import type { ExpertLink } from './link.ts';

/** What the attention engine sees of the expert pool: memory for one layer step, and a call that runs it. */
export interface Exchange {
  /** Memory into which the engine writes rows, ids and weights before `run`. */
  readonly step: LayerStep;
  /** Largest number of activated experts on one instance of the last layer step. */
  readonly aMax: number;
  readonly links: readonly ExpertLink[];
  /** Runs the layer step that stands in `step` and leaves the MoE output `[T, H]` in `output`. */
  run(layer: number, rows: number, output: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * Sends each layer step once to every expert host that has an activated expert, and adds the hosts' shares in host order.
 * Which hosts those are follows from the same deterministic schedule that the hosts compute for themselves.
 */
export class PooledExchange implements Exchange {
  readonly step: LayerStep;
  readonly links: readonly ExpertLink[];
  readonly #shape: LayerStepShape;
  readonly #closeConnections: () => Promise<void>;
  readonly #placement: Placement;
  readonly #scheduler: Scheduler;
  readonly #indexes: readonly LayoutIndex[];
  readonly #shares: readonly Float32Array[];
  readonly #instancesOf: readonly (readonly number[])[];

  /**
   * @param step memory of the layer step: the lane of a shared-memory link, so that nothing is copied, or plain arrays
   * @param links one per expert host of the placement, in host order
   * @param closeConnections ends what the links share, after they are closed
   */
  constructor(
    step: LayerStep,
    shape: LayerStepShape,
    placement: Placement,
    links: readonly ExpertLink[],
    closeConnections: () => Promise<void> = async () => {},
  ) {
    this.step = step;
    this.#closeConnections = closeConnections;
    this.#shape = shape;
    this.links = links;
    this.#placement = placement;
    this.#scheduler = schedulerOf(placement, {
      maxTokens: shape.maxRows,
      topK: shape.expertsPerToken,
      experts: placement.experts,
      instances: placement.instances.length,
    });
    this.#indexes = placement.layers.map((layout) => indexLayout(layout, placement.experts));
    this.#instancesOf = links.map((link) =>
      placement.instances.filter((instance) => instance.host === link.host).map((instance) => instance.id),
    );
    this.#shares = links.slice(1).map(() => new Float32Array(shape.maxRows * shape.hiddenSize));
  }

  get aMax(): number {
    return this.#scheduler.aMax;
  }

  async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    const { step } = this;
    step.layer = layer;
    step.rows = rows;
    step.placementVersion = this.#placement.version;
    this.#scheduler.schedule(this.#indexes[layer]!, step.expertIds, rows, this.#shape.expertsPerToken);
    if (this.links.length === 1) return this.links[0]!.exchange(step, output);
    await this.#runOnMany(step, rows, output);
  }

  async #runOnMany(step: LayerStep, rows: number, output: Float32Array): Promise<void> {
    const involved = this.links.map((_, host) => this.#isInvolved(host));
    const sent = this.links.map((link, host) =>
      involved[host] ? link.exchange(step, host === 0 ? output : this.#shares[host - 1]!) : undefined,
    );
    // All links come to rest before an error is passed on: a late answer must not find the next step in its place.
    const settled = await Promise.allSettled(sent);
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
    if (!involved[0]) output.fill(0, 0, rows * this.#shape.hiddenSize);
    for (let host = 1; host < this.links.length; host++) {
      if (involved[host]) addShare(output, this.#shares[host - 1]!, rows, this.#shape);
    }
  }

  #isInvolved(host: number): boolean {
    return this.#instancesOf[host]!.some((instance) => this.#scheduler.load[instance]! > 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.links.map((link) => link.close()));
    await this.#closeConnections();
  }
}

/** Plain memory for a layer step, where no link offers shared memory. */
export function allocateStep(shape: LayerStepShape): LayerStep {
  const pairs = shape.maxRows * shape.expertsPerToken;
  return {
    sequence: 0,
    layer: 0,
    attempt: 0,
    placementVersion: 0,
    rows: 0,
    hidden: new Float32Array(shape.maxRows * shape.hiddenSize),
    expertIds: new Int32Array(pairs),
    gateWeights: new Float32Array(pairs),
  };
}
