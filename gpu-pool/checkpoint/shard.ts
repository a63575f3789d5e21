import fs from 'node:fs';
import { JanusError } from '../../shared/errors/janus-error.ts';
import {
  LENGTH_PREFIX_BYTES,
  parseHeaderLength,
  parseSafetensorsHeader,
  type StoredTensor,
} from '../../shared/model/safetensors.ts';

/** Linux reads at most 2 GiB − 4 KiB in one call. */
const MAX_READ_BYTES = 2 ** 30;

/** One open safetensors file. */
export class Shard {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  #descriptor: number | null;

  private constructor(path: string, descriptor: number, tensors: ReadonlyMap<string, StoredTensor>) {
    this.path = path;
    this.tensors = tensors;
    this.#descriptor = descriptor;
  }

  /** @throws JanusError that names the file if it cannot be opened or its header is wrong */
  static open(path: string): Shard {
    const descriptor = openFile(path);
    try {
      return new Shard(path, descriptor, readHeader(descriptor, path));
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  /**
   * Fills `target` with the bytes from `position` on.
   *
   * @throws JanusError that names the file if it ends before
   */
  readInto(target: Uint8Array, position: number): void {
    if (this.#descriptor === null) throw new Error(`${this.path} is closed`);
    readFully(this.#descriptor, target, position, this.path);
  }

  close(): void {
    if (this.#descriptor === null) return;
    fs.closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

function openFile(path: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (cause) {
    throw new JanusError(`${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
}

function readHeader(descriptor: number, path: string): Map<string, StoredTensor> {
  const stat = fs.fstatSync(descriptor);
  if (!stat.isFile()) throw new JanusError(`${path} must be a file`);
  const prefix = new Uint8Array(Math.min(LENGTH_PREFIX_BYTES, stat.size));
  readFully(descriptor, prefix, 0, path);
  const header = new Uint8Array(parseHeaderLength(prefix, stat.size, path));
  readFully(descriptor, header, LENGTH_PREFIX_BYTES, path);
  return parseSafetensorsHeader(header, stat.size, path);
}

function readFully(descriptor: number, target: Uint8Array, position: number, path: string): void {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(MAX_READ_BYTES, target.length - done);
    const read = fs.readSync(descriptor, target, done, length, position + done);
    if (read === 0) {
      throw new JanusError(`${path} ended at byte ${position + done} while it was read: it has changed`);
    }
    done += read;
  }
}
