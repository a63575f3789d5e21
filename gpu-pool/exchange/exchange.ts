import type { Regime } from '../../shared/exchange/regime.ts';
import { ALL_INSTANCES, stepBytes } from '../../shared/protocol/frame.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { RegimeRecord } from '../../shared/protocol/member.ts';
import { isEmptied } from '../../shared/replacement/transition.ts';
import { schedulerOf } from '../../shared/scheduler/create-scheduler.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import type { Scheduler } from '../../shared/scheduler/scheduler.ts';
import { addShare } from './combine.ts';
import {
  ExchangeError,
  ExpertFailedError,
  type ExpertLink,
  type LinkStatistics,
  PeerLostError,
  StalePlacementError,
} from './link.ts';

/** What the attention engine sees of the expert pool: memory for one layer step, and a call that runs it. */
export interface Exchange {
  /** Memory into which the engine writes rows, ids and weights before `run`. */
  readonly step: LayerStep;
  /** Largest number of activated experts on one instance in the last layer step. */
  readonly aMax: number;
  readonly counters: ExchangeCounters;
  /** What each way to experts measured. */
  readonly statistics: readonly ExchangeStatistics[];
  /** Called with true when the instance has work, and with false when it has none. */
  setActive?(active: boolean): void;
  /** Called around the layers of one step of the engine. */
  beginStep?(): void;
  endStep?(): void;
  /** Runs the layer step that stands in `step` and leaves the MoE output `[T, H]` in `output`. */
  run(layer: number, rows: number, output: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** What an exchange counted since it was opened. */
export interface ExchangeCounters {
  readonly layerSteps: number;
  readonly totalAMax: number;
  /** Empty where the regime is not chosen. */
  readonly regimes: readonly RegimeRecord[];
}

/** What one way to experts measured, and to whom it leads. */
export interface ExchangeStatistics extends LinkStatistics {
  readonly host: string;
  readonly kind: string;
}

/** One receiver of layer steps: a host, or in the one-phase exchange a single instance of it. */
export interface Destination {
  /** Instances of the placement whose shares it answers. */
  readonly instances: readonly number[];
  readonly link: ExpertLink;
}

/** The other regime of the second phase: one frame for all hosts. */
export interface Relay {
  readonly statistics: LinkStatistics;
  exchange(step: LayerStep, to: readonly number[], outputs: readonly Float32Array[]): Promise<void>;
  /** Ends the step under way with `error`. */
  abandon(error: Error): void;
  close(): Promise<void>;
}

/** Decides, step by step, whether it goes directly or through the relay. */
export interface RegimePolicy {
  choose(bytes: number): Regime;
  record(regime: Regime, bytes: number, tookUs: number): void;
  readonly records: readonly RegimeRecord[];
}

export interface PooledExchangeOptions {
  /** Memory of the layer step: the lane of a shared-memory link, so that nothing is copied, or plain arrays. */
  readonly step: LayerStep;
  readonly shape: LayerStepShape;
  readonly placement: Placement;
  /** In host order; shares are added in this order. */
  readonly destinations: readonly Destination[];
  /** False where the expert hosts gate. */
  readonly gated: boolean;
  /** Absent where steps only go directly. */
  readonly relay?: { readonly relay: Relay; readonly policy: RegimePolicy };
  /** Told each step's routing, where the attention side gates. */
  readonly sampler?: { sample(layer: number, expertIds: Int32Array, rows: number): void };
  /** Ends what the links share, after they are closed. */
  readonly closeConnections?: () => Promise<void>;
}

/**
 * Sends each layer step once to every destination that has an activated expert, and adds their shares in host order. Which
 * those are follows from the same deterministic schedule that the hosts compute for themselves; where the hosts gate, it
 * is all of them.
 */
export class PooledExchange implements Exchange {
  readonly step: LayerStep;
  readonly #options: PooledExchangeOptions;
  readonly #scheduler: Scheduler;
  readonly #indexes: readonly LayoutIndex[];
  /** Positions of the destinations that hold any replica. */
  readonly #holding: readonly number[];
  /** Share `[maxRows, H]` of each destination but for the first, whose share is the output's beginning. */
  readonly #shares: readonly Float32Array[];
  #layerSteps = 0;
  #totalAMax = 0;
  #aMax = 0;

  constructor(options: PooledExchangeOptions) {
    const { step, shape, placement, destinations } = options;
    this.step = step;
    this.#options = options;
    this.#scheduler = schedulerOf(placement, {
      maxTokens: shape.maxRows,
      topK: shape.expertsPerToken,
      experts: placement.experts,
      instances: placement.instances.length,
    });
    this.#indexes = placement.layers.map((layout) => indexLayout(layout, placement.experts));
    this.#holding = [...destinations.keys()].filter((position) =>
      destinations[position]!.instances.some((id) => !isEmptied(placement, id)),
    );
    this.#shares = destinations.slice(1).map(() => new Float32Array(shape.maxRows * shape.hiddenSize));
  }

  get aMax(): number {
    return this.#aMax;
  }

  get counters(): ExchangeCounters {
    const regimes = this.#options.relay?.policy.records ?? [];
    return { layerSteps: this.#layerSteps, totalAMax: this.#totalAMax, regimes };
  }

  get statistics(): ExchangeStatistics[] {
    const { destinations, relay } = this.#options;
    const links = destinations.map(({ link }) => ({ ...link.statistics, host: link.host, kind: link.kind }));
    return relay ? [...links, { ...relay.relay.statistics, host: 'all', kind: 'relay' }] : links;
  }

  async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    const { placement, gated, destinations, sampler } = this.#options;
    const { step } = this;
    step.layer = layer;
    step.rows = rows;
    step.gated = gated;
    step.placementVersion = placement.version;
    if (gated) sampler?.sample(layer, step.expertIds, rows);
    if (destinations.length === 1) {
      const { link } = destinations[0]!;
      await link.exchange(step, output);
      return this.#count(link.statistics.aMax);
    }
    if (gated) this.#schedule(layer, rows);
    const involved = this.#involved();
    const outputs = [output, ...this.#shares];
    const aMax = await this.#send(step, involved, outputs);
    this.#addShares(involved, output, rows);
    this.#count(gated ? this.#scheduler.aMax : aMax);
  }

  /** Only where there is a choice of hosts: each of them schedules for itself. */
  #schedule(layer: number, rows: number): void {
    const { expertIds } = this.step;
    this.#scheduler.schedule(this.#indexes[layer]!, expertIds, rows, this.#options.shape.expertsPerToken);
  }

  /** @param aMax as the hosts tell it */
  #count(aMax: number): void {
    this.#layerSteps++;
    this.#aMax = aMax;
    this.#totalAMax += aMax;
  }

  /** Positions of the destinations that have a share in the step, ascending. */
  #involved(): readonly number[] {
    const { destinations, gated } = this.#options;
    if (!gated) return this.#holding;
    const { load } = this.#scheduler;
    return this.#holding.filter((position) => destinations[position]!.instances.some((id) => load[id]! > 0));
  }

  /** Returns the largest number of activated experts on one instance, as the hosts tell it. */
  async #send(
    step: LayerStep,
    involved: readonly number[],
    outputs: readonly Float32Array[],
  ): Promise<number> {
    const { relay, shape } = this.#options;
    if (relay === undefined || involved.length < 2) return this.#sendDirectly(step, involved, outputs);
    const bytes = stepBytes(step, shape);
    const regime = relay.policy.choose(bytes);
    const startedAtMs = performance.now();
    const aMax =
      regime === 'direct'
        ? await this.#sendDirectly(step, involved, outputs)
        : await this.#sendByRelay(relay.relay, step, involved, outputs);
    relay.policy.record(regime, bytes, (performance.now() - startedAtMs) * 1_000);
    return aMax;
  }

  /**
   * A step that the relay cannot bring to an end is sent directly: computing it twice gives the same. What a host itself
   * answered it would only answer again. Redis does not tell of a host that has died or hangs: its direct connection does.
   */
  async #sendByRelay(
    relay: Relay,
    step: LayerStep,
    involved: readonly number[],
    outputs: readonly Float32Array[],
  ): Promise<number> {
    const { destinations, shape } = this.#options;
    const abandon = (error: PeerLostError): void => relay.abandon(error);
    const watches = involved.map((position) =>
      destinations[position]!.link.watch?.(stepBytes(step, shape), abandon),
    );
    try {
      await relay.exchange(step, involved, outputs);
      return relay.statistics.aMax;
    } catch (error) {
      const isAnswer = error instanceof StalePlacementError || error instanceof ExpertFailedError;
      const isLost = error instanceof PeerLostError && error.lost === 'host';
      if (isAnswer || isLost || !(error instanceof ExchangeError)) throw error;
    } finally {
      for (const end of watches) end?.();
    }
    return this.#sendDirectly(step, involved, outputs);
  }

  async #sendDirectly(
    step: LayerStep,
    involved: readonly number[],
    outputs: readonly Float32Array[],
  ): Promise<number> {
    const { destinations } = this.#options;
    const sent = involved.map((position) => destinations[position]!.link.exchange(step, outputs[position]!));
    // All links come to rest before an error is passed on: a late answer must not find the next step in its place.
    const settled = await Promise.allSettled(sent);
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
    return Math.max(...involved.map((position) => destinations[position]!.link.statistics.aMax));
  }

  #addShares(involved: readonly number[], output: Float32Array, rows: number): void {
    const { shape } = this.#options;
    if (involved[0] !== 0) output.fill(0, 0, rows * shape.hiddenSize);
    for (const position of involved) {
      if (position > 0) addShare(output, this.#shares[position - 1]!, rows, shape);
    }
  }

  async close(): Promise<void> {
    const { destinations, relay, closeConnections } = this.#options;
    await Promise.all(destinations.map(({ link }) => link.close()));
    await relay?.relay.close();
    await closeConnections?.();
  }
}

/** Plain memory for a layer step, where no link offers shared memory. */
export function allocateStep(shape: LayerStepShape): LayerStep {
  const pairs = shape.maxRows * shape.expertsPerToken;
  return {
    layer: 0,
    placementVersion: 0,
    rows: 0,
    gated: true,
    only: ALL_INSTANCES,
    hidden: new Float32Array(shape.maxRows * shape.hiddenSize),
    expertIds: new Int32Array(pairs),
    gateWeights: new Float32Array(pairs),
  };
}
