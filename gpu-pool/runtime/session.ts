import { createRequire } from 'node:module';
import { Tensor } from 'onnxruntime-common';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { keepTelemetryOff } from './telemetry.ts';

/** Typed arrays that tensors are views of. They may lie on a SharedArrayBuffer. */
export type TensorData = Float32Array | Int32Array | Uint8Array | Int8Array;

/** What a graph reads or writes under one name: the leading elements of `data`, seen in the shape `dimensions`. */
export interface TensorView {
  readonly data: TensorData;
  readonly dimensions: readonly number[];
}

export interface SessionSettings {
  /**
   * True keeps a memory arena per session. Off by default: a process holds hundreds of sessions, each of which would
   * keep the memory of its largest call.
   */
  readonly memoryArena?: boolean;
}

type Tensors = Record<string, Tensor>;

/** The part of ONNX Runtime's native object that we call. */
interface NativeSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  run(feeds: Tensors, fetches: Tensors, options: object): Tensors;
  dispose(): void;
}

interface Binding {
  readonly binding: { readonly InferenceSession: new () => NativeSession };
  readonly initOrt: () => void;
}

/**
 * One ONNX graph, ready to run, synchronously, on the thread that made it.
 *
 * It goes to onnxruntime-node's internal binding instead of its public `InferenceSession`, because the public `run`
 * computes on the caller's thread all the same, but wraps that into a Promise and a `setImmediate`: a turn of the event
 * loop for every graph, about half of what a small graph costs. package.json pins the version for that reason.
 */
export class GraphSession {
  readonly name: string;
  readonly #native: NativeSession;

  private constructor(name: string, native: NativeSession) {
    this.name = name;
    this.#native = native;
  }

  /**
   * Builds the session of `model` (an ONNX file's bytes).
   * @param name tells graphs apart in error messages.
   * @throws JanusError if ONNX Runtime cannot be loaded or rejects the graph.
   */
  static create(name: string, model: Uint8Array, settings: SessionSettings = {}): GraphSession {
    const { InferenceSession } = loadBinding();
    const native = new InferenceSession();
    try {
      native.loadModel(model.buffer, model.byteOffset, model.byteLength, {
        // Every session owns a pool of spinning threads. Parallelism comes from instances, one thread each.
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        enableCpuMemArena: settings.memoryArena ?? false,
      });
    } catch (error) {
      throw new JanusError(`graph ${name}: ONNX Runtime cannot load it: ${text(error)}`, { cause: error });
    }
    return new GraphSession(name, native);
  }

  /**
   * Runs the graph: reads `inputs` in place, writes `outputs` in place. Tensor objects are made per call: that takes
   * 0.1 µs each, less than looking one up by its shape would save.
   * @throws JanusError if ONNX Runtime rejects the call, for instance because a shape does not fit the graph.
   */
  run(inputs: Readonly<Record<string, TensorView>>, outputs: Readonly<Record<string, TensorView>>): void {
    try {
      const fetches = tensors(outputs);
      freeCopies(this.#native.run(tensors(inputs), fetches, NO_OPTIONS), fetches);
    } catch (error) {
      throw new JanusError(`graph ${this.name}: ONNX Runtime failed: ${text(error)}`, { cause: error });
    }
  }

  /** Gives the session's memory back. The session cannot run afterwards. */
  release(): void {
    this.#native.dispose();
  }
}

/** View of the leading elements of `data` in the shape `dimensions`. */
export function view(data: TensorData, ...dimensions: number[]): TensorView {
  return { data, dimensions };
}

const NO_OPTIONS = {};

function tensors(views: Readonly<Record<string, TensorView>>): Tensors {
  const result: Tensors = {};
  for (const name in views) {
    const { data, dimensions } = views[name]!;
    let size = 1;
    for (const dimension of dimensions) size *= dimension;
    const exact = size === data.length ? data : data.subarray(0, size);
    result[name] = tensor(exact, dimensions);
  }
  return result;
}

/**
 * Besides writing to `fetches`, the binding copies what it wrote to buffers of its own. Left to the garbage collector, which comes
 * when they are tens of megabytes, they are that much memory per thread, and new pages for every run.
 */
function freeCopies(results: Tensors, fetches: Tensors): void {
  const ours = Object.values(fetches).map(bufferOf);
  for (const buffer of Object.values(results).map(bufferOf)) {
    if (buffer instanceof ArrayBuffer && !ours.includes(buffer)) buffer.transfer(0);
  }
}

const bufferOf = ({ data }: Tensor): ArrayBufferLike => (data as TensorData).buffer;

function tensor(data: TensorData, dimensions: readonly number[]): Tensor {
  if (data instanceof Float32Array) return new Tensor('float32', data, dimensions);
  if (data instanceof Int32Array) return new Tensor('int32', data, dimensions);
  return data instanceof Uint8Array
    ? new Tensor('uint8', data, dimensions)
    : new Tensor('int8', data, dimensions);
}

let loaded: Binding['binding'] | undefined;

function loadBinding(): Binding['binding'] {
  if (loaded !== undefined) return loaded;
  keepTelemetryOff();
  let module: Partial<Binding>;
  try {
    module = createRequire(import.meta.url)('onnxruntime-node/dist/binding.js') as Partial<Binding>;
  } catch (error) {
    throw new JanusError(
      `onnxruntime-node does not load (${text(error)}); run "npm ci" on this machine, whose platform is ` +
        `${process.platform}-${process.arch}`,
      { cause: error },
    );
  }
  const prototype: Partial<NativeSession> | undefined = module.binding?.InferenceSession?.prototype;
  const complete = (['loadModel', 'run', 'dispose'] as const).every(
    (method) => typeof prototype?.[method] === 'function',
  );
  if (!complete || module.binding === undefined || typeof module.initOrt !== 'function') {
    throw new JanusError(
      'onnxruntime-node/dist/binding.js is not as expected: install the exact version in package.json',
    );
  }
  module.initOrt();
  loaded = module.binding;
  return loaded;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
