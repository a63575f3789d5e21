import { BYTES, CALL, END, type Grammar, type NodeId, SPLIT } from './grammar.ts';
import {
  MAX_CLOSURE,
  MAX_FRAMES,
  MAX_KEPT_READINGS,
  MAX_NESTING,
  MAX_READINGS,
  MAX_STATES,
} from './limits.ts';

/** Of FNV-1a, over whole numbers rather than bytes. */
const HASH_START = 0x811c9dc5;
const HASH_FACTOR = 0x01000193;

/** Where reading goes on when the rules above it have returned. There is one object per stack, but for those forgotten. */
interface Frame {
  /** Unique, also among those forgotten. */
  readonly id: number;
  /** Where to go on; the frame at the bottom has none. */
  readonly node: NodeId;
  readonly below: Frame | null;
  /** Number of frames below. */
  readonly depth: number;
}

/**
 * What an automaton knows of the text that it has read. It never changes as seen from outside, so keeping one is a snapshot;
 * the same state is nearly always the same object, so that it can be the key of what was computed for it.
 */
export interface TextState {
  /** True: the text may end here. */
  readonly complete: boolean;
  /** True: the text may go on. */
  readonly open: boolean;
  /** In how many ways it can be read on: what following it takes. */
  readonly readings: number;
}

/** A node that reads a byte, and the stack it returns to: as many of both as there are readings of the text. */
class State implements TextState {
  readonly nodes: readonly NodeId[];
  readonly frames: readonly Frame[];
  readonly complete: boolean;
  /** By class of the next byte; undefined where it was not asked for yet, null where it cannot come. */
  following: (State | null | undefined)[];
  /** Another state with the same hash. */
  beside: State | undefined;
  /** The last tour that came here. */
  tour = 0;

  constructor(nodes: readonly NodeId[], frames: readonly Frame[], complete: boolean, classes: number) {
    this.nodes = nodes;
    this.frames = frames;
    this.complete = complete;
    this.following = new Array<State | null | undefined>(classes).fill(undefined);
  }

  get open(): boolean {
    return this.nodes.length > 0;
  }

  get readings(): number {
    return this.nodes.length;
  }

  is(nodes: readonly NodeId[], frames: readonly Frame[], complete: boolean): boolean {
    if (this.complete !== complete || this.nodes.length !== nodes.length) return false;
    for (let i = 0; i < nodes.length; i++) {
      if (this.nodes[i] !== nodes[i] || this.frames[i] !== frames[i]) return false;
    }
    return true;
  }
}

/**
 * Follows a text byte by byte through a grammar: all readings at once, the states made when they are first met (a lazy
 * subset construction, with stacks). Every open state can be completed within `MAX_NESTING`. What is kept is bounded, and
 * what a state leads to depends on the bytes read alone, on every host.
 */
export class Automaton {
  readonly start: TextState;
  readonly #grammar: Grammar;
  /** By their hash. */
  readonly #states = new Map<number, State>();
  readonly #frames = new Map<number, Frame>();
  #frameCount = 1;
  #keptStates = 0;
  #keptReadings = 0;
  // The readings that are being gathered, and the work that is left; kept for their memory.
  readonly #nodes: NodeId[] = [];
  readonly #stacks: Frame[] = [];
  /** Per node the round in which it was last met, and with which stack; further stacks of a round are a set. */
  readonly #rounds: Float64Array;
  readonly #firstStacks: Float64Array;
  readonly #furtherStacks = new Set<number>();
  #round = 1;
  #visits = 0;
  #tour = 0;
  readonly #workNodes: NodeId[] = [];
  readonly #workFrames: Frame[] = [];
  #complete = false;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
    this.#rounds = new Float64Array(grammar.kinds.length);
    this.#firstStacks = new Float64Array(grammar.kinds.length);
    this.#reach(grammar.start, { id: 0, node: -1, below: null, depth: 0 });
    this.start = this.#gathered() ?? new State([], [], false, grammar.classes);
  }

  /** The state behind one more byte; null where it cannot come. `state` must be of this automaton. */
  next(state: TextState, byte: number): TextState | null {
    const { following } = state as State;
    const byteClass = this.#grammar.classOf[byte];
    const known = following[byteClass];
    return known === undefined ? this.#follow(state as State, byteClass) : known;
  }

  /** The state behind more bytes; null where they cannot come. */
  read(state: TextState, bytes: Uint8Array): TextState | null {
    let reached: TextState | null = state;
    for (let i = 0; i < bytes.length && reached !== null; i++) reached = this.next(reached, bytes[i]);
    return reached;
  }

  /** Begins a tour of many states, of which some thousands can be made without one being forgotten. */
  beginTour(): void {
    this.#tour++;
    if (this.#isFull(0.5)) this.#forget();
  }

  /** Whether a state is met for the first time in this tour. */
  isNewInTour(state: TextState): boolean {
    const met = state as State;
    if (met.tour === this.#tour) return false;
    met.tour = this.#tour;
    return true;
  }

  /** The bytes that may come next. */
  allowedBytes(state: TextState): number[] {
    return Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => this.next(state, byte) !== null);
  }

  #follow(state: State, byteClass: number): State | null {
    const { offsets, lowest, highest, targets } = this.#grammar;
    for (let i = 0; i < state.nodes.length; i++) {
      const node = state.nodes[i];
      for (let edge = offsets[node]; edge < offsets[node + 1]; edge++) {
        if (lowest[edge] <= byteClass && byteClass <= highest[edge])
          this.#reach(targets[edge], state.frames[i]);
      }
    }
    const reached = this.#gathered();
    state.following[byteClass] = reached;
    return reached;
  }

  /**
   * Gathers the readings that go on at `node`, in an order that depends on the grammar alone: the nearest ones first, so that
   * there are some when it becomes too much.
   */
  #reach(node: NodeId, frame: Frame): void {
    const { kinds, offsets, targets, nesting } = this.#grammar;
    this.#push(node, frame);
    while (this.#workNodes.length > 0) {
      if (this.#visits >= MAX_CLOSURE && this.#nodes.length > 0) {
        this.#workNodes.length = 0;
        this.#workFrames.length = 0;
        return;
      }
      this.#visits++;
      const at = this.#workNodes.pop()!;
      const stack = this.#workFrames.pop()!;
      if (stack.depth + nesting[at] > MAX_NESTING || !this.#isNew(at, stack)) continue;
      const edge = offsets[at];
      switch (kinds[at]) {
        case BYTES:
          this.#take(at, stack);
          break;
        case SPLIT:
          for (let i = offsets[at + 1] - 1; i >= edge; i--) this.#push(targets[i], stack);
          break;
        case CALL:
          this.#push(targets[edge], this.#above(stack, targets[edge + 1]));
          break;
        case END:
          if (stack.below === null) this.#complete = true;
          else this.#push(stack.node, stack.below);
      }
    }
  }

  #push(node: NodeId, frame: Frame): void {
    this.#workNodes.push(node);
    this.#workFrames.push(frame);
  }

  /** Any of the readings can be completed without the others, so it does no harm to give some up. */
  #take(node: NodeId, frame: Frame): void {
    if (this.#nodes.length === MAX_READINGS) return;
    this.#nodes.push(node);
    this.#stacks.push(frame);
  }

  #isNew(node: NodeId, frame: Frame): boolean {
    if (this.#rounds[node] !== this.#round) {
      this.#rounds[node] = this.#round;
      this.#firstStacks[node] = frame.id;
      return true;
    }
    if (this.#firstStacks[node] === frame.id) return false;
    const before = this.#furtherStacks.size;
    this.#furtherStacks.add(frame.id * this.#grammar.kinds.length + node);
    return this.#furtherStacks.size > before;
  }

  #above(below: Frame, node: NodeId): Frame {
    const key = below.id * this.#grammar.kinds.length + node;
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      frame = { id: this.#frameCount++, node, below, depth: below.depth + 1 };
      this.#frames.set(key, frame);
    }
    return frame;
  }

  /** The state of the readings gathered, which are forgotten; null if there are none. */
  #gathered(): State | null {
    const hasAny = this.#nodes.length > 0 || this.#complete;
    const state = hasAny ? this.#stateOfGathered() : null;
    this.#nodes.length = 0;
    this.#stacks.length = 0;
    this.#complete = false;
    this.#visits = 0;
    this.#round++;
    if (this.#furtherStacks.size > 0) this.#furtherStacks.clear();
    return state;
  }

  #stateOfGathered(): State {
    const complete = this.#complete;
    const hash = this.#hash();
    for (let known = this.#states.get(hash); known !== undefined; known = known.beside) {
      if (known.is(this.#nodes, this.#stacks, complete)) return known;
    }
    if (this.#isFull(1)) this.#forget();
    const state = new State(this.#nodes.slice(), this.#stacks.slice(), complete, this.#grammar.classes);
    state.beside = this.#states.get(hash);
    this.#states.set(hash, state);
    this.#keptStates++;
    this.#keptReadings += state.readings;
    return state;
  }

  /** @param share of what may be kept */
  #isFull(share: number): boolean {
    return (
      this.#keptStates >= share * MAX_STATES ||
      this.#keptReadings >= share * MAX_KEPT_READINGS ||
      this.#frames.size >= share * MAX_FRAMES
    );
  }

  #hash(): number {
    let hash = HASH_START;
    for (let i = 0; i < this.#nodes.length; i++) {
      hash = Math.imul(hash ^ this.#nodes[i], HASH_FACTOR);
      hash = Math.imul(hash ^ this.#stacks[i].id, HASH_FACTOR);
    }
    return hash;
  }

  /** States that somebody still holds go on as before; what they lead to is made anew. */
  #forget(): void {
    for (const first of this.#states.values()) {
      for (let state: State | undefined = first; state !== undefined; state = state.beside) {
        state.following.fill(undefined);
      }
    }
    this.#states.clear();
    this.#frames.clear();
    this.#keptStates = 0;
    this.#keptReadings = 0;
  }
}
