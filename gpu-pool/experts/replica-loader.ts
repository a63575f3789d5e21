/** One expert that an instance is to load while it serves. */
export interface LoadOrder {
  readonly layer: number;
  readonly expert: number;
  /** It lies in memory of the host already, where another instance loaded it. */
  readonly isThere: boolean;
}

/**
 * Part of its time that an instance spends on loading while it has layer steps to compute. One expert is loaded at a time, so a step
 * waits for one at most, and of many steps few wait.
 */
const LOADING_SHARE = 0.05;
/** An instance without layer steps for this long has time. */
const IDLE_AFTER_MS = 100;

/** Loads experts one by one between the layer steps of an instance. */
export class ReplicaLoader {
  readonly #load: (order: LoadOrder) => void;
  readonly #stepsServed: () => number;
  readonly #urgent: LoadOrder[] = [];
  readonly #orders: LoadOrder[] = [];
  #dueAtMs = 0;
  #stepsSeen = 0;
  #lastStepAtMs = 0;

  /**
   * @param load loads one expert; must not throw
   * @param stepsServed layer steps that the instance has computed by now
   */
  constructor(load: (order: LoadOrder) => void, stepsServed: () => number) {
    this.#load = load;
    this.#stepsServed = stepsServed;
  }

  /** @param urgent true where nobody is served until they are loaded */
  add(orders: readonly LoadOrder[], urgent: boolean): void {
    (urgent ? this.#urgent : this.#orders).push(...orders);
  }

  /** Loads the next expert, if it is due; returns for how many milliseconds there is nothing to do. */
  run(now: () => number): number {
    const isUrgent = this.#urgent.length > 0;
    if (!isUrgent && this.#orders.length === 0) return Number.POSITIVE_INFINITY;
    const startedAtMs = now();
    const pauseMs = Math.min(this.#dueAtMs - startedAtMs, this.#idleInMs(startedAtMs));
    if (!isUrgent && pauseMs > 0) return pauseMs;
    this.#load((this.#urgent.shift() ?? this.#orders.shift())!);
    const endedAtMs = now();
    this.#dueAtMs = endedAtMs + (endedAtMs - startedAtMs) * (1 / LOADING_SHARE - 1);
    return 0;
  }

  /** Time until the instance counts as idle, where no step comes. */
  #idleInMs(nowMs: number): number {
    const steps = this.#stepsServed();
    if (steps !== this.#stepsSeen) this.#lastStepAtMs = nowMs;
    this.#stepsSeen = steps;
    return this.#lastStepAtMs + IDLE_AFTER_MS - nowMs;
  }
}
