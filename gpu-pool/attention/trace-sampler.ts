import { JanusError } from '../../shared/errors/janus-error.ts';
import { ActivationTrace, type TraceShape } from '../../shared/placement/trace.ts';

/** How an attention instance samples the routing of its layer steps. */
export interface TraceSampling {
  /** Rows that each layer's window holds. */
  readonly windowRows: number;
  /** One step of so many is sampled, so that a small window reaches over many sequences. */
  readonly stepsPerSample: number;
}

/** With 60 layers and top-8 of 160 experts: 1 MB per attention instance, half of that in Redis. */
export const DEFAULT_TRACE_SAMPLING: TraceSampling = { windowRows: 1_024, stepsPerSample: 16 };

/** Memory between an attention instance's thread, which writes, and its host's thread, which reads. Goes through `postMessage`. */
export interface TraceMemory {
  readonly shape: TraceShape;
  readonly windowRows: number;
  readonly buffer: SharedArrayBuffer;
}

/** Words of a layer's head: version, odd while a step is being written; rows in the window; row that is written next. */
const HEAD_WORDS = 3;
const VERSION = 0;
const ROWS = 1;
const NEXT = 2;

/** A write takes microseconds and comes once in many steps: a reader that is disturbed this often has bad luck. */
const READ_ATTEMPTS = 8;

export function allocateTraceMemory(shape: TraceShape, windowRows: number): TraceMemory {
  const { layers, expertsPerToken } = shape;
  const heads = layers * HEAD_WORDS * Int32Array.BYTES_PER_ELEMENT;
  const rings = layers * windowRows * expertsPerToken * Uint16Array.BYTES_PER_ELEMENT;
  return { shape, windowRows, buffer: new SharedArrayBuffer(heads + rings) };
}

/** `[layers, HEAD_WORDS]` and `[layers, windowRows, k]`. */
function viewsOf({ shape, windowRows, buffer }: TraceMemory): { heads: Int32Array; rings: Uint16Array } {
  const heads = new Int32Array(buffer, 0, shape.layers * HEAD_WORDS);
  const rings = new Uint16Array(buffer, heads.byteLength, shape.layers * windowRows * shape.expertsPerToken);
  return { heads, rings };
}

/**
 * Writes the routing of sampled steps into the window. Between samples it costs a comparison per layer step; a sampled one
 * costs a copy of its ids. Allocates nothing.
 */
export class TraceSampler {
  readonly #memory: TraceMemory;
  readonly #stepsPerSample: number;
  readonly #heads: Int32Array;
  readonly #rings: Uint16Array;
  #lastLayer = Number.POSITIVE_INFINITY;
  /** Number of the step among `stepsPerSample`; the first of them is the sample. */
  #step = -1;

  /** @throws JanusError when `stepsPerSample` is not a positive integer */
  constructor(memory: TraceMemory, stepsPerSample: number) {
    if (!Number.isInteger(stepsPerSample) || stepsPerSample < 1) {
      throw new JanusError(`stepsPerSample is ${stepsPerSample}; give a whole number of at least 1.`);
    }
    this.#memory = memory;
    this.#stepsPerSample = stepsPerSample;
    ({ heads: this.#heads, rings: this.#rings } = viewsOf(memory));
  }

  /**
   * Takes note of one layer step. Within a step layers ascend, so a layer that does not begins a new step.
   *
   * @param expertIds `[rows, k]`, valid ids; may be longer
   */
  sample(layer: number, expertIds: Int32Array, rows: number): void {
    if (layer <= this.#lastLayer) this.#step = (this.#step + 1) % this.#stepsPerSample;
    this.#lastLayer = layer;
    if (this.#step === 0) this.#write(layer, expertIds, rows);
  }

  #write(layer: number, expertIds: Int32Array, rows: number): void {
    const { shape, windowRows } = this.#memory;
    const k = shape.expertsPerToken;
    const heads = this.#heads;
    const head = layer * HEAD_WORDS;
    const ring = layer * windowRows * k;
    Atomics.add(heads, head + VERSION, 1);
    let next = heads[head + NEXT]!;
    // Of more rows than the window holds only the last count.
    for (let row = Math.max(0, rows - windowRows); row < rows; row++) {
      for (let slot = 0; slot < k; slot++) this.#rings[ring + next * k + slot] = expertIds[row * k + slot]!;
      next = next + 1 === windowRows ? 0 : next + 1;
    }
    heads[head + NEXT] = next;
    heads[head + ROWS] = Math.min(windowRows, heads[head + ROWS]! + rows);
    Atomics.add(heads, head + VERSION, 1);
  }
}

/**
 * Copies the windows as they stand, each layer's at a moment between two writes. A layer that is written at every attempt
 * has no rows in the copy.
 */
export function readTraceMemory(memory: TraceMemory): ActivationTrace {
  const { shape, windowRows } = memory;
  const { heads, rings } = viewsOf(memory);
  const trace = new ActivationTrace(shape, windowRows);
  const ringLength = windowRows * shape.expertsPerToken;
  for (let layer = 0; layer < shape.layers; layer++) {
    const head = layer * HEAD_WORDS;
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const version = Atomics.load(heads, head + VERSION);
      if (version % 2 !== 0) continue;
      const ring = rings.slice(layer * ringLength, (layer + 1) * ringLength);
      const rows = heads[head + ROWS]!;
      const oldest = rows < windowRows ? 0 : heads[head + NEXT]!;
      if (Atomics.load(heads, head + VERSION) !== version) continue;
      trace.record(layer, ring.subarray(oldest * shape.expertsPerToken), rows - oldest);
      trace.record(layer, ring, oldest);
      break;
    }
  }
  return trace;
}
