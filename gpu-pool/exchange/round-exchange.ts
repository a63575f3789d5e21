import { ALL_INSTANCES } from '../../shared/protocol/frame.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Exchange } from './exchange.ts';
import { type HostRound, RoundFailure } from './host-round.ts';
import { ExchangeError, isInterruption, RoundInterruptedError } from './link.ts';

/** Rows of one attention instance in memory that all instances of its host see. */
export class RoundRows implements LayerStep {
  readonly buffer: SharedArrayBuffer;
  gated = true;
  only = ALL_INSTANCES;
  /** `[T, H]`, `[T, k]`, `[T, k]` */
  readonly hidden: Float32Array;
  readonly expertIds: Int32Array;
  readonly gateWeights: Float32Array;
  /** `[T, H]`: where the leader puts the MoE output of these rows. */
  readonly output: Float32Array;
  /** Doubles, since a placement version may be a time in milliseconds. */
  readonly #head: Float64Array;

  /** @param buffer memory of the same shape made by another thread; made anew when absent */
  constructor(shape: LayerStepShape, buffer?: SharedArrayBuffer) {
    const { maxRows, hiddenSize, expertsPerToken } = shape;
    const lengths = [
      16,
      maxRows * hiddenSize,
      maxRows * expertsPerToken,
      maxRows * expertsPerToken,
      maxRows * hiddenSize,
    ];
    const offsets = lengths.map((_, i) => 4 * lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
    this.buffer = buffer ?? new SharedArrayBuffer(4 * lengths.reduce((sum, length) => sum + length, 0));
    this.#head = new Float64Array(this.buffer, 0, lengths[0]! / 2);
    this.hidden = new Float32Array(this.buffer, offsets[1], lengths[1]);
    this.expertIds = new Int32Array(this.buffer, offsets[2], lengths[2]);
    this.gateWeights = new Float32Array(this.buffer, offsets[3], lengths[3]);
    this.output = new Float32Array(this.buffer, offsets[4], lengths[4]);
  }

  get rows(): number {
    return this.#head[0]!;
  }
  set rows(value: number) {
    this.#head[0] = value;
  }
  get layer(): number {
    return this.#head[1]!;
  }
  set layer(value: number) {
    this.#head[1] = value;
  }
  get placementVersion(): number {
    return this.#head[2]!;
  }
  set placementVersion(value: number) {
    this.#head[2] = value;
  }
}

/**
 * The exchange of one attention instance that steps together with the others of its host. Followers leave their rows where
 * the leader finds them; the leader puts the rows of all participants, in the order of the instances, into one layer
 * step, runs it over its own links, and gives each its part of the output. Every instance can lead, so each has links.
 */
export class RoundExchange implements Exchange {
  readonly step: RoundRows;
  readonly #round: HostRound;
  readonly #rows: readonly RoundRows[];
  readonly #inner: Exchange;
  readonly #shape: LayerStepShape;
  /** `[rows of all, H]`, of the leader. */
  readonly #output: Float32Array;

  /**
   * @param index of this instance on its host
   * @param rows of every attention instance of the host
   * @param inner exchange for the rows of all of them together
   * @param innerRows largest number of rows that `inner` takes
   */
  constructor(
    round: HostRound,
    index: number,
    rows: readonly RoundRows[],
    inner: Exchange,
    shape: LayerStepShape,
    innerRows: number,
  ) {
    this.step = rows[index]!;
    this.#round = round;
    this.#rows = rows;
    this.#inner = inner;
    this.#shape = shape;
    this.#output = new Float32Array(innerRows * shape.hiddenSize);
  }

  get aMax(): number {
    return this.#inner.aMax;
  }

  get counters(): Exchange['counters'] {
    return this.#inner.counters;
  }

  get statistics(): Exchange['statistics'] {
    return this.#inner.statistics;
  }

  setActive(active: boolean): void {
    this.#round.setActive(active);
  }

  beginStep(): void {
    this.#round.join();
  }

  endStep(): void {
    this.#round.leave();
  }

  async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    this.step.rows = rows;
    this.step.layer = layer;
    // Asked before arriving: the leader may release this layer step and leave right after, and it must not be led again.
    const leads = this.#round.isLeader;
    this.#round.arrive();
    if (leads || !this.#follow()) await this.#lead(layer);
    const length = rows * this.#shape.hiddenSize;
    output.set(this.step.output.subarray(0, length));
  }

  /** Returns false when this instance has to lead the layer step after all, because the leader has left. */
  #follow(): boolean {
    try {
      return this.#round.waitForRelease();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const goesOn = error instanceof RoundFailure && error.isInterruption;
      throw new (goesOn ? RoundInterruptedError : ExchangeError)('this host', message);
    }
  }

  async #lead(layer: number): Promise<void> {
    const present = this.#round.waitForArrivals();
    const participants = this.#rows.filter((_, index) => (present & (1 << index)) !== 0);
    try {
      await this.#inner.run(layer, this.#gather(participants), this.#output);
      this.#scatter(participants);
      this.#round.release();
    } catch (error) {
      this.#round.release(error instanceof Error ? error.message : String(error), isInterruption(error));
      throw error;
    }
  }

  #gather(participants: readonly RoundRows[]): number {
    const { hiddenSize, expertsPerToken } = this.#shape;
    const { step } = this.#inner;
    let rows = 0;
    for (const own of participants) {
      step.hidden.set(own.hidden.subarray(0, own.rows * hiddenSize), rows * hiddenSize);
      const pairs = own.rows * expertsPerToken;
      step.expertIds.set(own.expertIds.subarray(0, pairs), rows * expertsPerToken);
      step.gateWeights.set(own.gateWeights.subarray(0, pairs), rows * expertsPerToken);
      rows += own.rows;
    }
    return rows;
  }

  #scatter(participants: readonly RoundRows[]): void {
    const { hiddenSize } = this.#shape;
    let row = 0;
    for (const own of participants) {
      own.output.set(this.#output.subarray(row * hiddenSize, (row + own.rows) * hiddenSize));
      row += own.rows;
    }
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }
}
