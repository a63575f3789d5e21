import { JanusError } from '../../shared/errors/janus-error.ts';
import { ALL_INSTANCES } from '../../shared/protocol/frame.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { firstPosition } from '../../shared/scheduler/row-group-views.ts';
import { RowGroups } from '../../shared/scheduler/row-groups.ts';
import type { PairsCompute } from '../runtime/expert-compute.ts';
import { AnswerWait, type AnswerWaitOptions, lostDuringStep } from './answer-wait.ts';
import { Combiner, type KernelSum } from './combine.ts';
import { GroupRunner, groupsOf } from './group-runner.ts';
import { type Lane, Outcome } from './lane.ts';
import {
  ExpertFailedError,
  type ExpertLink,
  emptyStatistics,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  recordRoundTrip,
  StalePlacementError,
  StepTooLargeError,
} from './link.ts';
import { type ServedTable, ServedTables } from './served-tables.ts';

export interface SharedMemoryLinkOptions extends AnswerWaitOptions {
  /** The first placement whose steps are taken, see `serve`. */
  readonly placement: Placement;
  /** Computes experts of this host on the sender's thread, which has nothing else to do meanwhile; absent where it cannot. */
  readonly assistant?: Assistant;
  /**
   * False leaves instances asleep whose experts the assistant computes: on a single processor, who is woken takes the sender's time.
   */
  readonly wakes?: boolean;
  /** Sums outputs where they lie in kernel memory. */
  readonly kernelSum?: KernelSum;
  /** Routes steps that were sent without a routing; absent where the attention side always gates. */
  readonly gate?: Gate;
}

/** Computes experts that other threads loaded. */
export interface Assistant {
  /** True where it can compute the experts of `layer`. */
  computes(layer: number): boolean;
  /** From `input` `[M, H]` to `output` `[M, H]`. */
  run(layer: number, expert: number, input: Float32Array, rows: number, output: Float32Array): void;
  /** The same in kernel memory. */
  readonly runPairs?: PairsCompute;
}

/** Picks experts for the rows of a layer: from hidden `[T, H]` to ids and weights `[T, k]`. */
export type Gate = (
  layer: number,
  hidden: Float32Array,
  rows: number,
  expertIds: Int32Array,
  gateWeights: Float32Array,
) => void;

/**
 * Tier 1 of the exchange: the expert instances of the same process, over a lane. The sender schedules once for the host
 * and leaves the grouped rows in the lane; instances read and write in place, nothing is packed or copied.
 */
export class SharedMemoryLink implements ExpertLink {
  readonly kind = 'shared-memory';
  readonly host: string;
  readonly lane: Lane;
  readonly statistics = emptyStatistics();
  readonly #options: SharedMemoryLinkOptions;
  readonly #tables: ServedTables;
  /** That of the step in the lane. */
  #table: ServedTable;
  readonly #groups: RowGroups;
  readonly #combiner: Combiner;
  readonly #runner: GroupRunner | undefined;
  readonly #answers: AnswerWait;
  #busy = false;

  constructor(options: SharedMemoryLinkOptions) {
    const { lane, placement } = options;
    this.#options = options;
    this.host = options.host;
    this.lane = lane;
    this.#answers = new AnswerWait(options);
    this.#tables = new ServedTables(lane.limits, placement);
    this.#table = this.#tables.of(placement.version)!;
    this.#groups = new RowGroups(lane.limits, lane.groups);
    this.#combiner = new Combiner(lane.shape, options.kernelSum);
    const { maxRows, hiddenSize } = lane.shape;
    const { assistant } = options;
    this.#runner =
      assistant &&
      new GroupRunner(
        maxRows,
        hiddenSize,
        (layer, expert, input, rows, output) => assistant.run(layer, expert, input, rows, output),
        assistant.runPairs,
      );
  }

  /** Takes steps of these placements, whose experts the instances hold, and of no others. */
  serve(placements: readonly Placement[]): void {
    this.#tables.serve(placements);
  }

  async exchange(step: LayerStep, output: Float32Array): Promise<void> {
    this.#refuse(step);
    this.#busy = true;
    try {
      const startedAtMs = performance.now();
      const leftover = this.#answers.forLeftover();
      if (leftover !== undefined) await leftover;
      this.#load(step);
      const scheduledAtMs = performance.now();
      const asked = this.#ask();
      const askedAtMs = performance.now();
      const assistedGroups = this.#runner === undefined ? 0 : this.#assist(this.#runner);
      const assistedAtMs = performance.now();
      const waiting = this.#answers.forAll();
      if (waiting !== undefined) await waiting;
      this.#checkOutcomes();
      const answeredAtMs = performance.now();
      const { first, count } = this.#asked;
      this.#combiner.combine(this.lane, first, count, output);
      const endedAtMs = performance.now();
      recordRoundTrip(this.statistics, {
        roundTripUs: (endedAtMs - startedAtMs) * 1_000,
        combineUs: (endedAtMs - answeredAtMs) * 1_000,
        scheduleUs: (scheduledAtMs - startedAtMs) * 1_000,
        assistUs: (assistedAtMs - askedAtMs) * 1_000,
        assistedGroups,
        aMax: this.aMax,
        messagesSent: asked,
        messagesReceived: asked,
        bytes: this.#bytes(),
      });
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<void> {
    this.#answers.close();
  }

  /** Largest number of activated experts on one instance of this host in the last step. */
  get aMax(): number {
    const { first, count } = this.#asked;
    const { load } = this.#table.scheduler;
    let largest = 0;
    for (let i = first; i < first + count; i++) largest = Math.max(largest, load[i]!);
    return largest;
  }

  /** Instances whose shares the step in the lane asks for. */
  get #asked(): { first: number; count: number } {
    const { firstInstance, instances } = this.#options.memory;
    const { only } = this.lane;
    return only === ALL_INSTANCES ? { first: firstInstance, count: instances } : { first: only, count: 1 };
  }

  /** Errors that leave the step under way, and the lane, as they are. */
  #refuse(step: LayerStep): void {
    const { maxRows } = this.lane.shape;
    if (this.#answers.closed) throw new LinkClosedError(this.host);
    if (this.#busy) throw new LinkBusyError(this.host);
    if (step.rows > maxRows) throw new StepTooLargeError(this.host, step.rows, maxRows);
    const table = this.#tables.of(step.placementVersion);
    if (table === undefined) {
      throw new StalePlacementError(this.host, step.placementVersion, this.#tables.newestVersion);
    }
    const { firstInstance, instances } = this.#options.memory;
    if (
      step.only !== ALL_INSTANCES &&
      !(step.only >= firstInstance && step.only < firstInstance + instances)
    ) {
      throw new JanusError(
        `Layer step for expert instance ${step.only}, which host ${this.host} does not have.`,
      );
    }
    if (!step.gated && this.#options.gate === undefined) {
      throw new JanusError(
        `Layer step without a routing: expert host ${this.host} does not gate; start it with --gate experts.`,
      );
    }
    const { length } = table.indexes;
    if (!(step.layer < length)) {
      throw new JanusError(`Layer step for layer ${step.layer}: the placement has ${length} layers.`);
    }
    this.#table = table;
  }

  /** Puts the step into the lane, unless it was made there, and schedules it. */
  #load(step: LayerStep): void {
    const { lane } = this;
    if (step !== lane) {
      const { hiddenSize, expertsPerToken } = lane.shape;
      lane.rows = step.rows;
      lane.layer = step.layer;
      lane.placementVersion = step.placementVersion;
      lane.only = step.only;
      lane.gated = step.gated;
      lane.hidden.set(step.hidden.subarray(0, step.rows * hiddenSize));
      if (step.gated) {
        lane.expertIds.set(step.expertIds.subarray(0, step.rows * expertsPerToken));
        lane.gateWeights.set(step.gateWeights.subarray(0, step.rows * expertsPerToken));
      }
    }
    if (!lane.gated) {
      this.#options.gate?.(lane.layer, lane.hidden, lane.rows, lane.expertIds, lane.gateWeights);
    }
    const topK = lane.shape.expertsPerToken;
    const { scheduler, indexes } = this.#table;
    scheduler.schedule(indexes[lane.layer]!, lane.expertIds, lane.rows, topK);
    const { instanceOf, instanceOfPair } = scheduler;
    this.#groups.group(lane.expertIds, instanceOf, lane.rows, topK, instanceOfPair);
  }

  /** Takes groups of the shares that were asked for, beside the instances themselves; returns how many. */
  #assist(runner: GroupRunner): number {
    const { lane } = this;
    const { memory, assistant } = this.#options;
    if (!assistant!.computes(lane.layer)) return 0;
    let taken = 0;
    for (let index = 0; index < memory.instances; index++) {
      if (!this.#isNeeded(index)) continue;
      taken += runner.runShare(lane, index, memory.firstInstance + index, lane.request(index));
    }
    return taken;
  }

  /** Asks every instance of the host that has an activated expert; returns how many. */
  #ask(): number {
    const { lane } = this;
    const { memory } = this.#options;
    for (let index = 0; index < memory.instances; index++) {
      const instance = memory.firstInstance + index;
      if (this.#isNeeded(index) && !memory.isAlive(instance)) {
        throw new PeerLostError(this.host, `expert instance ${instance} has ended`, instance);
      }
    }
    const rings = this.#options.wakes !== false || !this.#options.assistant?.computes(lane.layer);
    let asked = 0;
    for (let index = 0; index < memory.instances; index++) {
      if (!this.#isNeeded(index)) continue;
      lane.ask(index, groupsOf(lane, memory.firstInstance + index));
      if (rings) memory.ring(memory.firstInstance + index);
      asked++;
    }
    return asked;
  }

  #isNeeded(index: number): boolean {
    const instance = this.#options.memory.firstInstance + index;
    const { only } = this.lane;
    return (only === ALL_INSTANCES || only === instance) && this.#table.scheduler.load[instance]! > 0;
  }

  #checkOutcomes(): void {
    const { lane } = this;
    const { memory } = this.#options;
    for (let index = 0; index < memory.instances; index++) {
      if (!this.#isNeeded(index)) continue;
      const outcome = lane.outcome(index);
      const instance = memory.firstInstance + index;
      if (outcome === Outcome.failed) {
        throw new ExpertFailedError(this.host, `Expert instance ${instance}: ${lane.failure(index)}`);
      }
      if (outcome === Outcome.lost) throw lostDuringStep(this.host, instance);
      if (outcome === Outcome.stale) {
        throw new StalePlacementError(this.host, lane.placementVersion, lane.heldVersion(index));
      }
    }
  }

  /** Bytes that crossed between threads: the step once, and one row of output per (token, expert) of this host. */
  #bytes(): number {
    const { lane } = this;
    const { first, count } = this.#asked;
    const { hiddenSize, expertsPerToken } = lane.shape;
    const pairs = firstPosition(lane.groups, first + count) - firstPosition(lane.groups, first);
    return lane.rows * (hiddenSize * 4 + expertsPerToken * 8) + pairs * hiddenSize * 4;
  }
}
