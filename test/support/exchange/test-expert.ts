/**
 * The experts of the exchange's tests: their outputs tell layer, expert and row apart, are cheap to compute, and a plain
 * reference can compute them too.
 */
export function computeTestExpert(
  layer: number,
  expert: number,
  input: Float32Array,
  rows: number,
  output: Float32Array,
): void {
  const hiddenSize = input.length / rows;
  for (let row = 0; row < rows; row++) {
    const start = row * hiddenSize;
    for (let i = 0; i < hiddenSize; i++) {
      output[start + i] = input[start + ((i + 1) % hiddenSize)]! * (expert + 1) + layer - i / hiddenSize;
    }
  }
}

/** Message of an expert that was told to fail. */
export const failureMessage = (expert: number): string => `expert ${expert} is out of order – für heute`;

const MODES = ['compute', 'idle', 'fail', 'slow', 'silent', 'die'] as const;
/**
 * What the experts of a peer do: compute; compute nothing; throw; compute after `SLOW_MS`; not answer until they are told
 * otherwise; or end their thread.
 */
export type Behaviour = (typeof MODES)[number];
export const SLOW_MS = 60;

/** The behaviour of all experts of a peer, in memory that its threads share. */
export class BehaviourSwitch {
  readonly #word: Int32Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory);
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(4);
  }

  set(behaviour: Behaviour): void {
    Atomics.store(this.#word, 0, MODES.indexOf(behaviour));
    Atomics.notify(this.#word, 0);
  }

  /** Computes one expert as the switch says. */
  readonly compute = (
    layer: number,
    expert: number,
    input: Float32Array,
    rows: number,
    output: Float32Array,
  ): void => {
    const mode = Atomics.load(this.#word, 0);
    if (MODES[mode] === 'idle') return;
    if (MODES[mode] === 'fail') throw new Error(failureMessage(expert));
    if (MODES[mode] === 'die') process.exit();
    if (MODES[mode] === 'slow') Atomics.wait(this.#word, 0, mode, SLOW_MS);
    if (MODES[mode] === 'silent') Atomics.wait(this.#word, 0, mode);
    computeTestExpert(layer, expert, input, rows, output);
  };
}
