import type { SimulatedProcess, World } from './world.ts';

const LEAST_LATENCY_MS = 0.5;
const MOST_LATENCY_MS = 6;
/** A message in so many is late by up to `MOST_DELAY_MS`, so that later ones overtake it. */
const DELAYED = 0.02;
const MOST_DELAY_MS = 120;

/** What is wrong with the network for a while. */
export interface NetworkFaults {
  untilMs: number;
  /** Probabilities for each message. */
  loss: number;
  duplication: number;
  /** Pairs of processes, as `pairOf` names them, that do not reach each other, until when. */
  readonly cutUntilMs: Map<string, number>;
}

export const pairOf = (one: string, other: string): string => [one, other].sort().join('|');

type Receive<Message> = (from: string, message: Message) => void;

/** Carries messages between processes: late, twice, in another order or not at all. */
export class Network<Message> {
  readonly faults: NetworkFaults = { untilMs: 0, loss: 0, duplication: 0, cutUntilMs: new Map() };
  /** The largest number of messages that were on their way at once. */
  mostInFlight = 0;
  readonly #world: World;
  readonly #receivers = new Map<string, { process: SimulatedProcess; receive: Receive<Message> }>();
  #inFlight = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Takes what is sent to a process from now on. */
  listen(process: SimulatedProcess, receive: Receive<Message>): void {
    this.#receivers.set(process.name, { process, receive });
  }

  /** Whether a process takes what is sent to it. */
  isThere(name: string): boolean {
    return this.#receivers.get(name)?.process.isAlive === true;
  }

  send(from: SimulatedProcess, to: string, message: Message): void {
    const world = this.#world;
    const { untilMs, loss, duplication, cutUntilMs } = this.faults;
    const isFaulty = world.nowMs < untilMs;
    if ((cutUntilMs.get(pairOf(from.name, to)) ?? 0) > world.nowMs) return;
    if (isFaulty && world.chance(loss)) return;
    const copies = isFaulty && world.chance(duplication) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) this.#carry(from.name, to, message);
  }

  #carry(from: string, to: string, message: Message): void {
    const world = this.#world;
    const late = world.chance(DELAYED) ? world.between(0, MOST_DELAY_MS) : 0;
    this.#inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.#inFlight);
    world.after(late + world.between(LEAST_LATENCY_MS, MOST_LATENCY_MS), world.outside, () => {
      this.#inFlight -= 1;
      const receiver = this.#receivers.get(to);
      if (receiver?.process.isAlive !== true) return;
      world.current = receiver.process;
      receiver.receive(from, message);
    });
  }
}
