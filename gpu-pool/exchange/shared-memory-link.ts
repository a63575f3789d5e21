import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import { RowGroups } from '../../shared/scheduler/row-groups.ts';
import { combine } from './combine.ts';
import type { HostMemory } from './host-memory.ts';
import { type Lane, Outcome } from './lane.ts';
import {
  AnswerOverdueError,
  ExpertFailedError,
  type ExpertLink,
  emptyStatistics,
  LinkBusyError,
  PeerLostError,
  recordRoundTrip,
  StalePlacementError,
  StepTooLargeError,
} from './link.ts';

export interface SharedMemoryLinkOptions {
  readonly host: string;
  readonly memory: HostMemory;
  readonly lane: Lane;
  readonly placement: Placement;
  /** `block` stops the thread while it waits (a compute thread), `yield` leaves it to its event loop. */
  readonly wait: 'block' | 'yield';
  /** An instance that is alive but silent for this long ends the step with `AnswerOverdueError`. */
  readonly overdueAfterMs: number;
}

/** Longest single wait before the life signs are looked at again. */
const WAIT_SLICE_MS = 100;

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
  readonly #scheduler: AebsScheduler;
  readonly #groups: RowGroups;
  readonly #indexes: readonly LayoutIndex[];
  /** Sequence number of the lane; it also numbers repetitions, so a late share is never taken for a new one. */
  #sequence = 0;
  #busy = false;

  constructor(options: SharedMemoryLinkOptions) {
    const { lane, placement } = options;
    this.#options = options;
    this.host = options.host;
    this.lane = lane;
    this.#scheduler = new AebsScheduler(lane.limits);
    this.#groups = new RowGroups(lane.limits, lane.groups);
    this.#indexes = placement.layers.map((layout) => indexLayout(layout, placement.experts));
    this.#sequence = lane.sequence;
  }

  async exchange(step: LayerStep, output: Float32Array): Promise<void> {
    const { placement } = this.#options;
    const { maxRows } = this.lane.shape;
    if (step.rows > maxRows) throw new StepTooLargeError(this.host, step.rows, maxRows);
    if (step.placementVersion !== placement.version) {
      throw new StalePlacementError(this.host, step.placementVersion, placement.version);
    }
    if (this.#busy) throw new LinkBusyError(this.host);
    this.#busy = true;
    const startedAt = performance.now();
    try {
      if (this.#anyOwed()) await this.#waitForAll();
      this.#load(step);
      const asked = this.#send();
      if (this.#anyOwed()) {
        const waiting = this.#waitForAll();
        if (waiting !== undefined) await waiting;
      }
      this.#checkOutcomes();
      const { memory } = this.#options;
      combine(this.lane, this.#scheduler.instanceOf, memory.firstInstance, memory.instances, output);
      recordRoundTrip(this.statistics, (performance.now() - startedAt) * 1_000, 2 * asked, this.#bytes());
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<void> {}

  /** Puts the step into the lane, unless it was made there, and schedules it. */
  #load(step: LayerStep): void {
    const { lane } = this;
    if (step !== lane) {
      const { hiddenSize, expertsPerToken } = lane.shape;
      lane.rows = step.rows;
      lane.layer = step.layer;
      lane.placementVersion = step.placementVersion;
      lane.hidden.set(step.hidden.subarray(0, step.rows * hiddenSize));
      lane.expertIds.set(step.expertIds.subarray(0, step.rows * expertsPerToken));
      lane.gateWeights.set(step.gateWeights.subarray(0, step.rows * expertsPerToken));
    }
    const topK = lane.shape.expertsPerToken;
    this.#scheduler.schedule(this.#indexes[lane.layer]!, lane.expertIds, lane.rows, topK);
    this.#groups.group(lane.expertIds, this.#scheduler.instanceOf, lane.rows, topK);
  }

  /** Asks every instance of the host that has an activated expert; returns how many. */
  #send(): number {
    const { lane } = this;
    const { memory } = this.#options;
    lane.sequence = ++this.#sequence;
    let asked = 0;
    for (let index = 0; index < memory.instances; index++) {
      const instance = memory.firstInstance + index;
      if (this.#scheduler.load[instance] === 0) continue;
      if (!memory.isAlive(instance))
        throw new PeerLostError(this.host, `expert instance ${instance} has ended`);
      lane.ask(index);
      memory.ring(instance);
      asked++;
    }
    return asked;
  }

  #anyOwed(): boolean {
    for (let index = 0; index < this.#options.memory.instances; index++) {
      if (this.lane.owes(index)) return true;
    }
    return false;
  }

  /**
   * Waits until no instance owes a share. A blocking link has waited when this returns `undefined`; a yielding one returns
   * a promise. A share that is still owed by an earlier, failed step is waited for in the same way, because its instance
   * may still write into the lane.
   */
  #waitForAll(): Promise<void> | undefined {
    if (this.#options.wait === 'yield') return this.#yieldForAll();
    const startedAt = performance.now();
    for (;;) {
      const seen = this.lane.wakeUps;
      if (!this.#stillOwed(startedAt)) return undefined;
      this.lane.wait(seen, WAIT_SLICE_MS);
    }
  }

  async #yieldForAll(): Promise<void> {
    const startedAt = performance.now();
    for (;;) {
      const seen = this.lane.wakeUps;
      if (!this.#stillOwed(startedAt)) return;
      await this.lane.waitAsync(seen, WAIT_SLICE_MS);
    }
  }

  /** True while a living instance owes its share. @throws PeerLostError, AnswerOverdueError */
  #stillOwed(startedAtMs: number): boolean {
    const { memory, overdueAfterMs } = this.#options;
    let owed = false;
    for (let index = 0; index < memory.instances; index++) {
      if (!this.lane.owes(index)) continue;
      const instance = memory.firstInstance + index;
      if (!memory.isAlive(instance)) {
        this.lane.forgive(index);
        throw new PeerLostError(this.host, `expert instance ${instance} ended during a layer step`);
      }
      owed = true;
    }
    const waitedMs = performance.now() - startedAtMs;
    if (owed && waitedMs > overdueAfterMs) throw new AnswerOverdueError(this.host, waitedMs);
    return owed;
  }

  #checkOutcomes(): void {
    const { memory, placement } = this.#options;
    for (let index = 0; index < memory.instances; index++) {
      if (!this.lane.hasAnswered(index)) continue;
      const outcome = this.lane.outcome(index);
      if (outcome === Outcome.failed) {
        throw new ExpertFailedError(
          this.host,
          `Expert instance ${memory.firstInstance + index}: ${this.lane.failure}`,
        );
      }
      if (outcome === Outcome.stale) {
        throw new StalePlacementError(this.host, this.lane.placementVersion, placement.version);
      }
    }
  }

  /** Bytes that crossed between threads: the step once, and one row of output per (token, expert) of this host. */
  #bytes(): number {
    const { lane } = this;
    const { firstInstance, instances } = this.#options.memory;
    const { hiddenSize, expertsPerToken } = lane.shape;
    const { instanceStart, groupStart } = lane.groups;
    const pairs =
      groupStart[instanceStart[firstInstance + instances]!]! - groupStart[instanceStart[firstInstance]!]!;
    return lane.rows * (hiddenSize * 4 + expertsPerToken * 8) + pairs * hiddenSize * 4;
  }
}
