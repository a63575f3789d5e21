import { ALL_INSTANCES } from '../../shared/protocol/frame.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { allocateRowGroups, type RowGroupViews } from '../../shared/scheduler/row-groups.ts';
import { readFixedText, writeFixedText } from '../../shared/text/fixed-text.ts';
import {
  FAILURE_TEXT_BYTES,
  HEAD_WORDS,
  type LaneMemory,
  type LaneOptions,
  LINE_WORDS,
  laneBytes,
  laneLimits,
  laneParts,
} from './lane-layout.ts';

/** Words of the head of a lane, which the sender writes. */
const LAYER = 0;
const ROWS = 1;
/** Versions may be times in milliseconds, so this one and `HELD_VERSION` are doubles in two words each. */
const PLACEMENT_VERSION = 2;
/** Word on which the sender waits, on a line of its own. */
const WAKE_UPS = LINE_WORDS;

/** Words of each expert instance of the host: the sender writes `ASKED`, the instance the others. */
const ASKED = 0;
const ANSWERED = 1;
const OUTCOME = 2;
/** Low bits of the request's number, and how many groups of the share are still to be handed out. */
const GROUPS_LEFT = 3;
const UNFINISHED_GROUPS = 4;
const SHARE_FAILED = 5;
const HELD_VERSION = 6;
const GROUP_BITS = 12;
const GROUP_MASK = 2 ** GROUP_BITS - 1;

/** How one instance's share of a layer step ended. */
export const Outcome = { done: 0, stale: 1, failed: 2, lost: 3 } as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/**
 * The memory of one sender (an attention instance, or the endpoint of a remote link) and the expert instances of its
 * host: one layer step at a time, written once by the sender, read in place by the instances, which write their rows
 * back in place.
 *
 * Requests to each instance are numbered. While the number that was asked differs from the number that was answered, the
 * instance owes its share, and only it, and the sender itself, may write to its part of `outputs`; the sender asks it again only
 * when it owes nothing. So a late share can never fall into a later step, and the numbers may wrap round. Only these words are atomic:
 * the arrays are ordered by them, written before the store and read after the load.
 *
 * The groups of a share are handed out one by one, so that a sender whose thread has nothing else to do can compute some of
 * them itself; whoever finishes the last one answers.
 *
 * Rows are grouped by expert, the groups by instance (`RowGroups`), so an instance's output is one range of `outputs`.
 */
export class Lane implements LayerStep {
  readonly memory: LaneMemory;
  readonly shape: LayerStepShape;
  /** Bounds of the schedule: all instances of the placement, not only this host's. */
  readonly limits: SchedulerLimits;
  gated = true;
  only = ALL_INSTANCES;
  /** `[T, H]`, `[T, k]`, `[T, k]`: the layer step. */
  readonly hidden: Float32Array<SharedArrayBuffer>;
  readonly expertIds: Int32Array<SharedArrayBuffer>;
  readonly gateWeights: Float32Array<SharedArrayBuffer>;
  /** The bytes of `hidden`: `Buffer.copy` moves rows of shared memory more than twice as fast as `Float32Array.set`. */
  readonly hiddenBytes: Buffer;
  /** `[T·k, H]`: expert outputs in grouped order, not yet weighted. */
  readonly outputs: Float32Array<SharedArrayBuffer>;
  /** The rows of the step grouped by expert; `outputs` is in the same order. */
  readonly groups: RowGroupViews;
  readonly #control: Int32Array<SharedArrayBuffer>;
  /** The same memory, for placement versions. */
  readonly #versions: Float64Array<SharedArrayBuffer>;
  /** `[instances, FAILURE_TEXT_BYTES]` */
  readonly #failures: Uint8Array<SharedArrayBuffer>;
  readonly #instances: number;

  /** @param memory of a lane of the same sizes made by another thread; made anew when absent */
  constructor(options: LaneOptions, memory?: LaneMemory) {
    const { shape, instances } = options;
    this.shape = shape;
    this.#instances = instances;
    this.limits = laneLimits(options);
    this.memory = memory ?? { memory: new SharedArrayBuffer(laneBytes(options)), offset: 0 };
    const { memory: holder, offset } = this.memory;
    const buffer = holder instanceof WebAssembly.Memory ? (holder.buffer as SharedArrayBuffer) : holder;
    const parts = laneParts(options);
    const at = (part: number) => offset + parts[part]!.offset;
    const length = (part: number) => parts[part]!.bytes / 4;
    this.#control = new Int32Array(buffer, at(0), length(0));
    this.#versions = new Float64Array(buffer, at(0), length(0) / 2);
    this.hidden = new Float32Array(buffer, at(1), length(1));
    this.hiddenBytes = Buffer.from(buffer, at(1), parts[1]!.bytes);
    this.expertIds = new Int32Array(buffer, at(2), length(2));
    this.gateWeights = new Float32Array(buffer, at(3), length(3));
    this.outputs = new Float32Array(buffer, at(4), length(4));
    this.#failures = new Uint8Array(buffer, at(5), parts[5]!.bytes);
    this.groups = allocateRowGroups(this.limits, buffer, at(6));
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
    return this.#versions[PLACEMENT_VERSION / 2]!;
  }
  set placementVersion(value: number) {
    this.#versions[PLACEMENT_VERSION / 2] = value;
  }

  #word(index: number, word: number): number {
    return HEAD_WORDS + index * LINE_WORDS + word;
  }

  /**
   * Sender: asks the instance at `index` of the host, which owes nothing, for its share of the step in the lane.
   *
   * @param groups number of groups of the share
   */
  ask(index: number, groups: number): void {
    const request = this.request(index) + 1;
    this.#control[this.#word(index, SHARE_FAILED)] = 0;
    Atomics.store(this.#control, this.#word(index, UNFINISHED_GROUPS), groups);
    Atomics.store(this.#control, this.#word(index, GROUPS_LEFT), (request << GROUP_BITS) | groups);
    Atomics.add(this.#control, this.#word(index, ASKED), 1);
  }

  /**
   * Takes a group of a share, the last one first; returns its position in the share, or -1 where all are taken or the request is
   * over. Who comes late may see the groups of the next request already, so how many are left is read where they are counted.
   */
  takeGroup(index: number, request: number): number {
    const word = this.#word(index, GROUPS_LEFT);
    for (;;) {
      const seen = Atomics.load(this.#control, word);
      const left = seen & GROUP_MASK;
      if (left === 0 || seen - left !== request << GROUP_BITS) return -1;
      if (Atomics.compareExchange(this.#control, word, seen, seen - 1) === seen) return left - 1;
    }
  }

  /**
   * Says that a group that was taken is done, or with `failure` that it could not be computed. The last group of a share
   * answers the request.
   */
  finishGroup(index: number, request: number, failure?: string): void {
    if (failure !== undefined && Atomics.exchange(this.#control, this.#word(index, SHARE_FAILED), 1) === 0) {
      writeFixedText(this.#failureText(index), failure);
    }
    if (Atomics.sub(this.#control, this.#word(index, UNFINISHED_GROUPS), 1) !== 1) return;
    const failed = Atomics.load(this.#control, this.#word(index, SHARE_FAILED)) !== 0;
    if (this.#isOpen(index, request)) this.#close(index, request, failed ? Outcome.failed : Outcome.done);
  }

  /** True while the instance at `index` owes the sender its share. */
  owes(index: number): boolean {
    const answered = Atomics.load(this.#control, this.#word(index, ANSWERED));
    return Atomics.load(this.#control, this.#word(index, ASKED)) !== answered;
  }

  /** True while any instance of the host owes the sender its share. */
  get anyOwed(): boolean {
    for (let index = 0; index < this.#instances; index++) {
      if (this.owes(index)) return true;
    }
    return false;
  }

  /** Instance: number of the last request to the instance at `index`. */
  request(index: number): number {
    return Atomics.load(this.#control, this.#word(index, ASKED));
  }

  /** Instance: says that its share of request number `request` is done. A doubled or late answer changes nothing. */
  answer(index: number, request: number): void {
    if (this.#isOpen(index, request)) this.#close(index, request, Outcome.done);
  }

  /** Instance: refuses the step, which was made under another placement than the one it holds. */
  answerStale(index: number, request: number, heldVersion: number): void {
    if (!this.#isOpen(index, request)) return;
    this.#versions[this.#word(index, HELD_VERSION) / 2] = heldVersion;
    this.#close(index, request, Outcome.stale);
  }

  /** Host: the thread of the instance at `index` has ended; what it owes will not come. */
  loseShare(index: number): void {
    if (this.owes(index)) this.#close(index, this.request(index), Outcome.lost);
    this.wakeSender();
  }

  /** Host: the thread of the sender has ended; no group is handed out any more. Whoever has one still writes it. */
  abandon(): void {
    for (let index = 0; index < this.#instances; index++) {
      Atomics.store(this.#control, this.#word(index, GROUPS_LEFT), 0);
    }
  }

  /** Host: gives an abandoned lane, into which nobody writes any more, to another sender. */
  reset(): void {
    for (let index = 0; index < this.#instances; index++) this.forgive(index);
  }

  #failureText(index: number): Uint8Array {
    return this.#failures.subarray(index * FAILURE_TEXT_BYTES, (index + 1) * FAILURE_TEXT_BYTES);
  }

  #isOpen(index: number, request: number): boolean {
    return this.request(index) === request && this.owes(index);
  }

  /** The sender needs all shares, so only the last one wakes it: a wake-up costs more than all that is written here. */
  #close(index: number, request: number, outcome: Outcome): void {
    this.#control[this.#word(index, OUTCOME)] = outcome;
    Atomics.store(this.#control, this.#word(index, ANSWERED), request);
    if (!this.anyOwed) this.wakeSender();
  }

  /** Sender: no longer waits for the instance at `index`, which has ended. */
  forgive(index: number): void {
    Atomics.store(this.#control, this.#word(index, ANSWERED), this.request(index));
  }

  /** Sender: how the share of the instance at `index`, which owes nothing, ended. */
  outcome(index: number): Outcome {
    return this.#control[this.#word(index, OUTCOME)] as Outcome;
  }

  /** Sender: placement version of an instance whose outcome is `stale`. */
  heldVersion(index: number): number {
    return this.#versions[this.#word(index, HELD_VERSION) / 2]!;
  }

  /** Sender: message of an instance whose outcome is `failed`. */
  failure(index: number): string {
    return readFixedText(this.#failureText(index));
  }

  /** Makes the sender look again at what was answered, and at who is alive. */
  wakeSender(): void {
    Atomics.add(this.#control, WAKE_UPS, 1);
    Atomics.notify(this.#control, WAKE_UPS);
  }

  /** Number of wake-ups so far; to be read before looking, and given to the waits below. */
  get wakeUps(): number {
    return Atomics.load(this.#control, WAKE_UPS);
  }

  /** Blocks the sender's thread until it is woken or `timeoutMs` passed. */
  wait(seen: number, timeoutMs: number): void {
    Atomics.wait(this.#control, WAKE_UPS, seen, timeoutMs);
  }

  /** The same for a thread that must not block. */
  waitAsync(seen: number, timeoutMs: number): Promise<unknown> | undefined {
    const result = Atomics.waitAsync(this.#control, WAKE_UPS, seen, timeoutMs);
    return result.async ? result.value : undefined;
  }
}
