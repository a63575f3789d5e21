import { JanusError } from '../../shared/errors/janus-error.ts';
import { elementCount, type StoredTensor } from '../../shared/model/safetensors.ts';
import {
  bytesPerElement,
  isNumberFormat,
  type NumberFormat,
  numberFormats,
  toFloat32,
} from './number-formats.ts';
import type { Shard } from './shard.ts';
import { openShards } from './shard-files.ts';

/** Tensors are widened through a buffer of this size, so that loading takes little more memory than its result. */
const CONVERSION_BYTES = 2 ** 20;

interface Location {
  readonly shard: Shard;
  readonly tensor: StoredTensor;
  readonly dtype: NumberFormat;
}

/**
 * The weights of a model folder: `model.safetensors`, or shards with an index. Opening reads the headers only; a tensor
 * is read by its byte range when it is asked for. Reading is synchronous, because weights are loaded in worker threads,
 * each of which opens a checkpoint of its own.
 */
export class Checkpoint {
  readonly folder: string;
  readonly #shards: readonly Shard[];
  readonly #shardOfTensor: ReadonlyMap<string, Shard>;

  private constructor(folder: string, shards: readonly Shard[], shardOfTensor: ReadonlyMap<string, Shard>) {
    this.folder = folder;
    this.#shards = shards;
    this.#shardOfTensor = shardOfTensor;
  }

  /** @throws JanusError that names the file, and the tensor where there is one, if the checkpoint is not whole */
  static open(folder: string): Checkpoint {
    const { shards, shardOfTensor } = openShards(folder);
    return new Checkpoint(folder, shards, shardOfTensor);
  }

  /** @throws JanusError if there is no such tensor */
  shape(name: string): readonly number[] {
    return this.#find(name).tensor.shape;
  }

  /** @throws JanusError if there is no such tensor, or its number format cannot be loaded */
  dtype(name: string): NumberFormat {
    return this.#find(name).dtype;
  }

  /**
   * @throws JanusError that names file and tensor if the tensor is missing, has another shape or a number format that
   * cannot be loaded
   */
  verify(name: string, expectedShape: readonly number[]): void {
    this.#locate(name, expectedShape);
  }

  /**
   * The tensor's bytes as they lie in the file: little-endian numbers of `dtype(name)`, row by row.
   *
   * @throws JanusError as `verify` does, or if the file has become shorter
   */
  readBytes(name: string, expectedShape: readonly number[]): Uint8Array<ArrayBuffer> {
    const { shard, tensor } = this.#locate(name, expectedShape);
    const bytes = new Uint8Array(tensor.end - tensor.begin);
    shard.readInto(bytes, tensor.begin);
    return bytes;
  }

  /**
   * The tensor's numbers, row by row, widened to f32.
   *
   * @throws JanusError as `verify` does, or if the file has become shorter
   */
  readFloat32(name: string, expectedShape: readonly number[]): Float32Array<ArrayBuffer> {
    const { shard, tensor, dtype } = this.#locate(name, expectedShape);
    const elementBytes = bytesPerElement(dtype);
    const numbers = new Float32Array(elementCount(tensor.shape));
    const buffer = new Uint8Array(Math.min(CONVERSION_BYTES, tensor.end - tensor.begin));
    const step = CONVERSION_BYTES / elementBytes;
    for (let first = 0; first < numbers.length; first += step) {
      const target = numbers.subarray(first, first + step);
      const source = buffer.subarray(0, target.length * elementBytes);
      shard.readInto(source, tensor.begin + first * elementBytes);
      toFloat32(dtype, source, target);
    }
    return numbers;
  }

  /** Closes the files. May be called more than once. */
  close(): void {
    for (const shard of this.#shards) shard.close();
  }

  #find(name: string): Location {
    const shard = this.#shardOfTensor.get(name);
    const tensor = shard?.tensors.get(name);
    if (shard === undefined || tensor === undefined) {
      throw new JanusError(
        `${this.folder}: the checkpoint has no tensor ${name}; check that config.json and weights belong together`,
      );
    }
    const { dtype } = tensor;
    if (!isNumberFormat(dtype)) {
      throw new JanusError(
        `${shard.path}: tensor ${name} has number format ${dtype}, and only ${numberFormats.join(', ')} are ` +
          'supported; convert the checkpoint to one of them',
      );
    }
    return { shard, tensor, dtype };
  }

  #locate(name: string, expectedShape: readonly number[]): Location {
    const found = this.#find(name);
    const { shape } = found.tensor;
    if (shape.length !== expectedShape.length || shape.some((size, axis) => size !== expectedShape[axis])) {
      throw new JanusError(
        `${found.shard.path}: tensor ${name} has shape [${shape.join(', ')}], and config.json asks for ` +
          `[${expectedShape.join(', ')}]; check that config.json and weights belong together`,
      );
    }
    return found;
  }
}
