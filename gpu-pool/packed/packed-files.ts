import fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { PackedGroup, PackedManifest } from './manifest.ts';

/** Linux reads at most 2 GiB − 4 KiB in one call. */
const MAX_READ_BYTES = 2 ** 30;

/**
 * The data files of a packed model. All are opened at once: a folder that is replaced later goes on to be read as it was.
 */
export class PackedFiles {
  readonly #folder: string;
  readonly #descriptors: Map<string, number>;

  private constructor(folder: string, descriptors: Map<string, number>) {
    this.#folder = folder;
    this.#descriptors = descriptors;
  }

  /** @throws JanusError that names the file if one is missing or does not have the size that the manifest says */
  static open(folder: string, files: PackedManifest['files']): PackedFiles {
    const descriptors = new Map<string, number>();
    try {
      for (const [file, bytes] of Object.entries(files)) {
        const path = join(folder, file);
        const descriptor = openFile(path);
        descriptors.set(file, descriptor);
        const { size } = fs.fstatSync(descriptor);
        if (size !== bytes) {
          throw new JanusError(
            `${path} has ${size} bytes, and its manifest says ${bytes}: pack the model again`,
          );
        }
      }
    } catch (error) {
      for (const descriptor of descriptors.values()) fs.closeSync(descriptor);
      throw error;
    }
    return new PackedFiles(folder, descriptors);
  }

  /**
   * Fills the first `group.bytes` bytes of `target`, which may be memory that threads share, by one positional read.
   *
   * @throws JanusError that names file and group if the target is too small or the bytes are not those that were packed
   */
  readGroup(group: PackedGroup, target: Uint8Array): void {
    const path = join(this.#folder, group.file);
    const descriptor = this.#descriptors.get(group.file);
    if (descriptor === undefined) throw new JanusError(`${path} is not open: the packed model was closed`);
    if (target.length < group.bytes) {
      throw new JanusError(
        `group ${group.name} of ${path} takes ${group.bytes} bytes, and its target has ${target.length}`,
      );
    }
    const bytes = target.subarray(0, group.bytes);
    let done = 0;
    while (done < bytes.length) {
      const length = Math.min(MAX_READ_BYTES, bytes.length - done);
      const read = fs.readSync(descriptor, bytes, done, length, group.offset + done);
      if (read === 0) throw changed(path, group);
      done += read;
    }
    if (crc32(bytes) !== group.checksum) throw changed(path, group);
  }

  /** May be called more than once. */
  close(): void {
    for (const descriptor of this.#descriptors.values()) fs.closeSync(descriptor);
    this.#descriptors.clear();
  }
}

function openFile(path: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (cause) {
    throw new JanusError(`${path} cannot be opened: ${(cause as Error).message}; pack the model again`, {
      cause,
    });
  }
}

const changed = (path: string, group: PackedGroup): JanusError =>
  new JanusError(
    `${path}: group ${group.name} does not hold what was packed: the file is damaged, pack the model again`,
  );
