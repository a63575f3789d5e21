import type { HostMemory } from './host-memory.ts';
import type { Lane } from './lane.ts';
import { AnswerOverdueError, LinkClosedError, PeerLostError } from './link.ts';

/** Longest single wait before the life signs are looked at again. */
const WAIT_SLICE_MS = 100;

export interface AnswerWaitOptions {
  readonly host: string;
  readonly memory: HostMemory;
  readonly lane: Lane;
  /** `block` stops the thread while it waits (a compute thread), `yield` leaves it to its event loop. */
  readonly wait: 'block' | 'yield';
  /** An instance that is alive but silent for this long ends the step with `AnswerOverdueError`. */
  readonly overdueAfterMs: number;
  /** Time to look for the answers before the thread is put to sleep. */
  readonly spinMs?: number;
}

/** The thread of an instance ended while it owed its share. */
export const lostDuringStep = (host: string, instance: number): PeerLostError =>
  new PeerLostError(host, `expert instance ${instance} ended during a layer step`, instance);

/** A sender's wait for the shares that the expert instances of its host owe it in a lane. */
export class AnswerWait {
  readonly #options: AnswerWaitOptions;
  #closed = false;

  constructor(options: AnswerWaitOptions) {
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Ends the wait under way, and all further ones, with `LinkClosedError`. */
  close(): void {
    this.#closed = true;
    this.#options.lane.wakeSender();
  }

  /**
   * Waits for shares that are still owed by an earlier, failed step, because their instances may still read and write the
   * lane. An instance that has ended owes nothing any more, and may not be needed by this step.
   */
  forLeftover(): Promise<void> | undefined {
    const { memory, lane } = this.#options;
    for (let index = 0; index < memory.instances; index++) {
      if (lane.owes(index) && !memory.isAlive(memory.firstInstance + index)) lane.forgive(index);
    }
    return this.forAll();
  }

  /**
   * Waits until no instance owes a share: a blocking sender has waited when this returns, a yielding one may get a promise.
   *
   * @throws PeerLostError, AnswerOverdueError, LinkClosedError
   */
  forAll(): Promise<void> | undefined {
    const { lane, wait, spinMs = 0 } = this.#options;
    if (!lane.anyOwed) return undefined;
    if (wait === 'yield') return this.#yieldForAll();
    const startedAtMs = performance.now();
    const spinUntilMs = startedAtMs + spinMs;
    while (lane.anyOwed && performance.now() < spinUntilMs);
    for (;;) {
      const seen = lane.wakeUps;
      if (!this.#stillOwed(startedAtMs)) return undefined;
      lane.wait(seen, WAIT_SLICE_MS);
    }
  }

  async #yieldForAll(): Promise<void> {
    const { lane } = this.#options;
    const startedAtMs = performance.now();
    for (;;) {
      const seen = lane.wakeUps;
      if (!this.#stillOwed(startedAtMs)) return;
      await lane.waitAsync(seen, WAIT_SLICE_MS);
    }
  }

  /** True while a living instance owes its share. */
  #stillOwed(startedAtMs: number): boolean {
    const { host, memory, lane, overdueAfterMs } = this.#options;
    if (!lane.anyOwed) return false;
    for (let index = 0; index < memory.instances; index++) {
      const instance = memory.firstInstance + index;
      if (!lane.owes(index) || memory.isAlive(instance)) continue;
      // Its life sign is set back after its thread has ended, or its last answer: an answer may have come in between.
      if (!lane.owes(index)) continue;
      lane.forgive(index);
      throw lostDuringStep(host, instance);
    }
    if (this.#closed) throw new LinkClosedError(host);
    const waitedMs = performance.now() - startedAtMs;
    if (waitedMs > overdueAfterMs) throw new AnswerOverdueError(host, waitedMs);
    return true;
  }
}
