import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { allocateRowGroups, type RowGroupViews } from '../../shared/scheduler/row-groups.ts';

/** Words at the head of a lane, before one `asked` and one `answered` word per expert instance of the host. */
const SEQUENCE = 0;
const LAYER = 1;
const ROWS = 2;
const PLACEMENT_VERSION = 3;
const ANSWERS = 4;
const HEAD_WORDS = 16;

/** Outcome of one instance's share, in its `outcome` word. */
export const Outcome = { done: 0, stale: 1, failed: 2 } as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** Bytes kept of the message of a failed share. */
const FAILURE_TEXT_BYTES = 512;

/** The buffers of a lane, as they are passed to other threads. */
export interface LaneMemory {
  readonly step: SharedArrayBuffer;
  readonly groups: SharedArrayBuffer;
}

/** Sizes of a lane. */
export interface LaneOptions {
  readonly shape: LayerStepShape;
  /** Expert instances of this host, which answer in this lane. */
  readonly instances: number;
  /** Expert instances of the whole placement, and experts per layer. */
  readonly placedInstances: number;
  readonly experts: number;
}

/**
 * The memory of one sender (an attention instance, or the endpoint of a remote link) and the expert instances of its
 * host: one layer step at a time, written once by the sender, read in place by the instances, which write their rows
 * back in place. Only the control words are atomic; the arrays are ordered by them (a store before `notify` is seen after
 * `wait`).
 *
 * Rows are grouped by expert, the groups by instance (`RowGroups`), so an instance's output is one range of `outputs`.
 */
export class Lane implements LayerStep {
  readonly memory: LaneMemory;
  readonly shape: LayerStepShape;
  /** Bounds of the schedule: all instances of the placement, not only this host's. */
  readonly limits: SchedulerLimits;
  attempt = 0;
  /** `[T, H]`, `[T, k]`, `[T, k]`: the layer step. */
  readonly hidden: Float32Array<SharedArrayBuffer>;
  readonly expertIds: Int32Array<SharedArrayBuffer>;
  readonly gateWeights: Float32Array<SharedArrayBuffer>;
  /** `[T·k, H]`: expert outputs in grouped order, not yet weighted. */
  readonly outputs: Float32Array<SharedArrayBuffer>;
  /** The rows of the step grouped by expert; `outputs` is in the same order. */
  readonly groups: RowGroupViews;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #failure: Uint8Array<SharedArrayBuffer>;

  readonly #instances: number;

  /** @param memory of a lane of the same sizes made by another thread; made anew when absent */
  constructor(options: LaneOptions, memory?: LaneMemory) {
    const { shape, instances } = options;
    this.shape = shape;
    this.#instances = instances;
    this.limits = {
      maxTokens: shape.maxRows,
      topK: shape.expertsPerToken,
      experts: options.experts,
      instances: options.placedInstances,
    };
    const pairs = shape.maxRows * shape.expertsPerToken;
    const lengths = [
      HEAD_WORDS + 3 * instances,
      shape.maxRows * shape.hiddenSize,
      pairs,
      pairs,
      pairs * shape.hiddenSize,
      FAILURE_TEXT_BYTES / 4,
    ];
    // Each array starts on a cache line of its own.
    const offsets: number[] = [];
    let bytes = 0;
    for (const length of lengths) {
      offsets.push(bytes);
      bytes += Math.ceil((length * 4) / 64) * 64;
    }
    const step = memory?.step ?? new SharedArrayBuffer(bytes);
    this.#control = new Int32Array(step, offsets[0], lengths[0]);
    this.hidden = new Float32Array(step, offsets[1], lengths[1]);
    this.expertIds = new Int32Array(step, offsets[2], lengths[2]);
    this.gateWeights = new Float32Array(step, offsets[3], lengths[3]);
    this.outputs = new Float32Array(step, offsets[4], lengths[4]);
    this.#failure = new Uint8Array(step, offsets[5], FAILURE_TEXT_BYTES);
    let groups = memory?.groups;
    this.groups = allocateRowGroups(this.limits, (size) => {
      groups ??= new SharedArrayBuffer(size);
      return groups;
    });
    this.memory = { step, groups: groups! };
  }

  get sequence(): number {
    return Atomics.load(this.#control, SEQUENCE);
  }
  set sequence(value: number) {
    Atomics.store(this.#control, SEQUENCE, value);
  }
  get layer(): number {
    return this.#control[LAYER]!;
  }
  set layer(value: number) {
    this.#control[LAYER] = value;
  }
  get rows(): number {
    return this.#control[ROWS]!;
  }
  set rows(value: number) {
    this.#control[ROWS] = value;
  }
  get placementVersion(): number {
    return this.#control[PLACEMENT_VERSION]!;
  }
  set placementVersion(value: number) {
    this.#control[PLACEMENT_VERSION] = value;
  }
  /** Sender: asks the instance at `index` of the host for its share of the step of the present sequence number. */
  ask(index: number): void {
    Atomics.store(this.#control, HEAD_WORDS + index, this.sequence);
  }

  /** Instance: true while the instance at `index` owes the sender its share. */
  owes(index: number): boolean {
    const asked = Atomics.load(this.#control, HEAD_WORDS + index);
    return asked !== Atomics.load(this.#control, HEAD_WORDS + this.#instances + index);
  }

  /** Instance: says that the share of `sequence` is done; saying it twice changes nothing. */
  answer(index: number, sequence: number, outcome: Outcome, failure = ''): void {
    if (outcome === Outcome.failed) {
      this.#failure.fill(0);
      this.#failure.set(new TextEncoder().encode(failure).subarray(0, FAILURE_TEXT_BYTES));
    }
    this.#control[HEAD_WORDS + 2 * this.#instances + index] = outcome;
    Atomics.store(this.#control, HEAD_WORDS + this.#instances + index, sequence);
    this.wakeSender();
  }

  /** Sender: no longer waits for the instance at `index`, which has ended. */
  forgive(index: number): void {
    Atomics.store(
      this.#control,
      HEAD_WORDS + this.#instances + index,
      Atomics.load(this.#control, HEAD_WORDS + index),
    );
  }

  /** Sender: true when the share of the present sequence number of the instance at `index` is done. */
  hasAnswered(index: number): boolean {
    return Atomics.load(this.#control, HEAD_WORDS + this.#instances + index) === this.sequence;
  }

  outcome(index: number): Outcome {
    return this.#control[HEAD_WORDS + 2 * this.#instances + index] as Outcome;
  }

  /** Message of the last failed share. */
  get failure(): string {
    const end = this.#failure.indexOf(0);
    return new TextDecoder().decode(this.#failure.slice(0, end < 0 ? FAILURE_TEXT_BYTES : end));
  }

  /** Makes the sender look again at what was answered, and at who is alive. */
  wakeSender(): void {
    Atomics.add(this.#control, ANSWERS, 1);
    Atomics.notify(this.#control, ANSWERS);
  }

  /** Number of wake-ups so far; to be read before looking, and given to the waits below. */
  get wakeUps(): number {
    return Atomics.load(this.#control, ANSWERS);
  }

  /** Blocks the sender's thread until it is woken or `timeoutMs` passed. */
  wait(seen: number, timeoutMs: number): void {
    Atomics.wait(this.#control, ANSWERS, seen, timeoutMs);
  }

  /** The same for a thread that must not block. */
  waitAsync(seen: number, timeoutMs: number): Promise<unknown> | undefined {
    const result = Atomics.waitAsync(this.#control, ANSWERS, seen, timeoutMs);
    return result.async ? result.value : undefined;
  }
}
