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
const LOADING_SHARE = 0.1;

/** Loads experts one by one between the layer steps of an instance. */
export class ReplicaLoader {
  readonly #load: (order: LoadOrder) => void;
  readonly #stepsServed: () => number;
  readonly #urgent: LoadOrder[] = [];
  readonly #orders: LoadOrder[] = [];
  #dueAtMs = 0;
  #stepsBefore = 0;

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
    const isIdle = this.#stepsServed() === this.#stepsBefore;
    const startedAtMs = now();
    if (!isUrgent && !isIdle && startedAtMs < this.#dueAtMs) return this.#dueAtMs - startedAtMs;
    this.#load((this.#urgent.shift() ?? this.#orders.shift())!);
    const endedAtMs = now();
    this.#dueAtMs = endedAtMs + (endedAtMs - startedAtMs) * (1 / LOADING_SHARE - 1);
    this.#stepsBefore = this.#stepsServed();
    return 0;
  }
}
