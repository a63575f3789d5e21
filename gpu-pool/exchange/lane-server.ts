import { type ExpertCompute, GroupRunner } from './group-runner.ts';
import type { HostMemory } from './host-memory.ts';
import type { Lane } from './lane.ts';

/** An idle instance wakes this often to look for control messages that were posted without ringing. */
const IDLE_WAIT_MS = 1_000;

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
  /** Version of the placement whose experts are loaded; steps of another version are answered `stale`. */
  readonly #placementVersion: number;

  constructor(
    memory: HostMemory,
    lanes: readonly Lane[],
    instance: number,
    placementVersion: number,
    compute: ExpertCompute,
  ) {
    this.#memory = memory;
    this.#lanes = lanes;
    this.#instance = instance;
    this.#index = instance - memory.firstInstance;
    this.#placementVersion = placementVersion;
    const { maxRows, hiddenSize } = lanes[0]!.shape;
    this.#runner = new GroupRunner(maxRows, hiddenSize, compute);
  }

  /** Serves what is asked, then blocks until the doorbell rings, until `control`, called at each wake-up, says stop. */
  run(control: () => 'go on' | 'stop'): void {
    for (;;) {
      // Read before looking for work: a ring after this line makes the wait below return at once.
      const seen = this.#memory.rings(this.#instance);
      if (control() === 'stop') return;
      for (const lane of this.#lanes) {
        if (lane.owes(this.#index)) this.#serve(lane);
      }
      this.#memory.waitForRing(this.#instance, seen, IDLE_WAIT_MS);
    }
  }

  #serve(lane: Lane): void {
    const request = lane.request(this.#index);
    if (lane.placementVersion !== this.#placementVersion) {
      lane.answerStale(this.#index, request, this.#placementVersion);
      return;
    }
    let activated: number;
    try {
      activated = this.#runner.run(lane, this.#instance);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      lane.answerFailed(this.#index, request, message);
      return;
    }
    lane.answer(this.#index, request);
    this.#memory.count(this.#instance, activated);
  }
}
