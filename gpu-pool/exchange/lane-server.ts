import type { ExpertCompute, PairsCompute } from '../runtime/expert-compute.ts';
import { GroupRunner, groupsOf } from './group-runner.ts';
import type { HostMemory } from './host-memory.ts';
import type { Lane } from './lane.ts';

/** An idle instance wakes this often to look for control messages that were posted without ringing. */
const IDLE_WAIT_MS = 1_000;

export interface LaneServerOptions {
  /** Computes experts in kernel memory. */
  readonly computePairs?: PairsCompute;
  /** Called after each look at the lanes: what else the thread can do for its host. */
  readonly help?: () => void;
  /** Called likewise: a part of what is to be done beside layer steps; returns for how many milliseconds it has nothing to do. */
  readonly aside?: () => number;
  /** Time to look for the next ring before the thread is put to sleep; 0 where there are more threads than processors. */
  readonly spinMs?: number;
}

/**
 * The instance side of the lanes of one host: takes each layer step that asks for this instance, runs its groups and
 * answers in place. One object per expert instance, on that instance's thread.
 */
export class LaneServer {
  readonly #memory: HostMemory;
  readonly #lanes: readonly Lane[];
  readonly #instance: number;
  /** Position of the instance among those of its host. */
  readonly #index: number;
  readonly #runner: GroupRunner;
  /** Number of the last request that was served in each lane. */
  readonly #served: Int32Array;
  readonly #options: LaneServerOptions;

  constructor(
    memory: HostMemory,
    lanes: readonly Lane[],
    instance: number,
    compute: ExpertCompute,
    options: LaneServerOptions = {},
  ) {
    this.#options = options;
    this.#served = new Int32Array(lanes.length);
    this.#memory = memory;
    this.#lanes = lanes;
    this.#instance = instance;
    this.#index = instance - memory.firstInstance;
    const { maxRows, hiddenSize } = lanes[0]!.shape;
    this.#runner = new GroupRunner(maxRows, hiddenSize, compute, options.computePairs);
  }

  /** Serves what is asked, then blocks until the doorbell rings, until `control`, called at each wake-up, says stop. */
  run(control: () => 'go on' | 'stop'): void {
    for (;;) {
      // Read before looking for work: a ring after this line makes the wait below return at once.
      const seen = this.#memory.rings(this.#instance);
      if (control() === 'stop') return;
      for (let i = 0; i < this.#lanes.length; i++) {
        if (this.#lanes[i]!.owes(this.#index)) this.#serve(i);
      }
      this.#options.help?.();
      const idleMs = Math.min(IDLE_WAIT_MS, this.#options.aside?.() ?? IDLE_WAIT_MS);
      if (!this.#spin(seen)) this.#memory.waitForRing(this.#instance, seen, idleMs);
    }
  }

  /** Looks for a ring for a short time, which is cheaper than to be woken; returns whether it came. */
  #spin(seen: number): boolean {
    const { spinMs = 0 } = this.#options;
    if (spinMs === 0) return false;
    const untilMs = performance.now() + spinMs;
    while (this.#memory.rings(this.#instance) === seen) {
      if (performance.now() > untilMs) return false;
    }
    return true;
  }

  #serve(index: number): void {
    const lane = this.#lanes[index]!;
    const request = lane.request(this.#index);
    // The sender still computes a group of this share.
    if (this.#served[index] === request) return;
    this.#served[index] = request;
    if (!this.#memory.serves(lane.placementVersion)) {
      lane.answerStale(this.#index, request, this.#memory.newestVersion);
      return;
    }
    const activated = groupsOf(lane, this.#instance);
    const startedAtMs = performance.now();
    const groups = this.#runner.runShare(lane, this.#index, this.#instance, request);
    // An empty share has no last group.
    if (activated === 0) lane.answer(this.#index, request);
    this.#memory.count(this.#instance, activated, groups, performance.now() - startedAtMs);
  }
}
