import { BYTES, CALL, END, type Grammar, type NodeId, SPLIT } from './grammar.ts';
import { MAX_FRAMES, MAX_KEPT_READINGS, MAX_NESTING, MAX_READINGS, MAX_STATES } from './limits.ts';

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
}

/** A node that reads a byte, and the stack it returns to: as many of both as there are readings of the text. */
class State implements TextState {
  readonly nodes: readonly NodeId[];
  readonly frames: readonly Frame[];
  readonly complete: boolean;
  /** By class of the next byte; undefined where it was not asked for yet, null where it cannot come. */
  following: (State | null | undefined)[];

  constructor(nodes: readonly NodeId[], frames: readonly Frame[], complete: boolean, classes: number) {
    this.nodes = nodes;
    this.frames = frames;
    this.complete = complete;
    this.following = new Array<State | null | undefined>(classes).fill(undefined);
  }

  get open(): boolean {
    return this.nodes.length > 0;
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
  readonly #states = new Map<string, State>();
  readonly #frames = new Map<number, Frame>();
  #frameCount = 1;
  #keptReadings = 0;
  // The readings that are being gathered, and the work that is left; kept for their memory.
  readonly #nodes: NodeId[] = [];
  readonly #stacks: Frame[] = [];
  readonly #visited = new Set<number>();
  readonly #workNodes: NodeId[] = [];
  readonly #workFrames: Frame[] = [];
  #complete = false;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
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

  /** Gathers the readings that go on at `node`, in an order that depends on the grammar alone. */
  #reach(node: NodeId, frame: Frame): void {
    const { kinds, offsets, targets, nesting } = this.#grammar;
    this.#push(node, frame);
    while (this.#workNodes.length > 0) {
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
    const before = this.#visited.size;
    this.#visited.add(frame.id * this.#grammar.kinds.length + node);
    return this.#visited.size > before;
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
    const complete = this.#complete;
    const nodes = this.#nodes.splice(0);
    const frames = this.#stacks.splice(0);
    this.#visited.clear();
    this.#complete = false;
    if (nodes.length === 0 && !complete) return null;
    const key = `${complete}:${nodes.join()}:${frames.map(({ id }) => id).join()}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (
      this.#states.size >= MAX_STATES ||
      this.#keptReadings >= MAX_KEPT_READINGS ||
      this.#frames.size >= MAX_FRAMES
    ) {
      this.#forget();
    }
    const state = new State(nodes, frames, complete, this.#grammar.classes);
    this.#states.set(key, state);
    this.#keptReadings += nodes.length;
    return state;
  }

  /** States that somebody still holds go on as before; what they lead to is made anew. */
  #forget(): void {
    for (const state of this.#states.values()) state.following.fill(undefined);
    this.#states.clear();
    this.#frames.clear();
    this.#keptReadings = 0;
  }
}
