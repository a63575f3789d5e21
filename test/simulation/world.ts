import { seededRandom } from '../../shared/placement/seeded-random.ts';

/**
 * Where virtual time begins. Lua's whole numbers have 32 bits in the simulation, and our scripts make milliseconds of Redis'
 * seconds, so that time must stay small.
 */
export const START_MS = 1_000_000;

/** A process of the simulated machines. What it set going ends with it. */
export interface SimulatedProcess {
  readonly name: string;
  isAlive: boolean;
  /** How far its clock is ahead of the others'. */
  skewMs: number;
}

/** Something that happens at its time, unless it is called off. */
export interface Event {
  readonly atMs: number;
  /** Orders what happens at the same time. */
  readonly tie: number;
  readonly owner: SimulatedProcess;
  readonly run: () => void;
  isCancelled: boolean;
}

const letPromisesRun = setImmediate;
/** An event that sets no end of others at the same time going must not hang the run. */
const MOST_EVENTS = 200_000;

/** Virtual time, and everything that is to happen in it, in an order that follows from the seed alone. */
export class World {
  nowMs = START_MS;
  readonly random: () => number;
  /** Whose code runs now. */
  current: SimulatedProcess;
  /** Events that were run. */
  events = 0;
  /** Of all events that were run: equal for equal runs. */
  fingerprint = 0;
  /** Those that no actor owns: the server, the network, faults. */
  readonly outside: SimulatedProcess = { name: 'outside', isAlive: true, skewMs: 0 };
  readonly #heap: Event[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.current = this.outside;
  }

  /** A whole number from `least` to `most`. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  between(least: number, most: number): number {
    return least + this.random() * (most - least);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)]!;
  }

  /** Runs something after a while, unless its owner has ended by then. */
  after(delayMs: number, owner: SimulatedProcess, run: () => void): Event {
    return this.at(this.nowMs + Math.max(0, delayMs), owner, run);
  }

  at(atMs: number, owner: SimulatedProcess, run: () => void): Event {
    const event: Event = { atMs, tie: this.random(), owner, run, isCancelled: false };
    push(this.#heap, event);
    return event;
  }

  /** Lets time pass until nothing is left to happen, `untilMs` or `isOver`. @throws what an event throws */
  async run(untilMs: number, isOver: () => boolean): Promise<void> {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= untilMs && !isOver()) {
      const event = pop(this.#heap);
      if (event.isCancelled || !event.owner.isAlive) continue;
      this.events += 1;
      if (this.events > MOST_EVENTS) throw new Error(`The run has not ended after ${MOST_EVENTS} events`);
      this.nowMs = event.atMs;
      this.current = event.owner;
      this.#note(event);
      event.run();
      // Whatever awaits what has just happened goes on now, at the same time, and belongs to the same process.
      await new Promise<void>((resolve) => letPromisesRun(resolve));
      this.current = this.outside;
    }
  }

  #note({ atMs, owner }: Event): void {
    let mixed = Math.imul(this.fingerprint ^ Math.floor(atMs * 1_000), 0x9e3779b1) | 0;
    for (let i = 0; i < owner.name.length; i += 1)
      mixed = (Math.imul(mixed, 31) + owner.name.charCodeAt(i)) | 0;
    this.fingerprint = mixed;
  }
}

const isBefore = (one: Event, other: Event): boolean =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.tie < other.tie);

/** Adds to a heap whose first event is the next one. */
function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(event, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event {
  const first = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
    if (!isBefore(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return first;
}
