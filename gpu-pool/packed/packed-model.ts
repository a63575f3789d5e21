import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import { readOptionalJsonFile } from '../checkpoint/json-file.ts';
import { loadModelConfig } from '../checkpoint/model-folder.ts';
import type { BlockQuantized } from '../runtime/quantize.ts';
import type { ModelWeights } from '../runtime/weights.ts';
import {
  isManifest,
  MANIFEST_FILE,
  type PackedGroup,
  type PackedManifest,
  parseManifest,
} from './manifest.ts';
import { PackedFiles } from './packed-files.ts';
import type { PackSettings } from './packed-formats.ts';
import { decodeBlocks, decodePart } from './part-codec.ts';
import { expertGroupName, fileSizes, type PackedPart, planGroups } from './plan.ts';

interface Location {
  readonly group: PackedGroup;
  readonly part: PackedPart;
}

/** True where a folder holds a whole packed model, of this version of the format or another. */
export function isPacked(folder: string): boolean {
  return isManifest(readOptionalJsonFile(join(folder, MANIFEST_FILE)));
}

/**
 * What the packed model in a folder was made with; null where there is none.
 *
 * @throws JanusError that names the file, and the field where one is wrong, if it has another version or is damaged
 */
export function readPackSettings(folder: string): PackSettings | null {
  const path = join(folder, MANIFEST_FILE);
  const json = readOptionalJsonFile(path);
  if (!isManifest(json)) return null;
  const { dtype, blockSize, uniform } = parseManifest(json, path);
  return { dtype, blockSize, uniform };
}

/**
 * Opens what `janus pack` wrote. Weights are not read.
 *
 * @throws JanusError that names the file, and the field, group or tensor where there is one, if something is missing, has
 * another version or does not fit together
 */
export function openPacked(folder: string): PackedModel {
  const path = join(folder, MANIFEST_FILE);
  const json = readOptionalJsonFile(path);
  if (json === undefined) {
    throw new JanusError(
      `${folder} is not a packed model: it has no ${MANIFEST_FILE}; \`janus pack\` makes one`,
    );
  }
  const manifest = parseManifest(json, path);
  const config = loadModelConfig(folder);
  checkLayout(manifest, config, path);
  return new PackedModel(folder, manifest, config, PackedFiles.open(folder, manifest.files));
}

/**
 * A manifest says where everything lies, so that any tool can read the files. For us it must be just where we would put
 * it: whatever is missing, moved, or of a form that the runtime no longer computes with, shows here.
 */
function checkLayout(
  { groups, files, ...settings }: PackedManifest,
  config: ModelConfig,
  path: string,
): void {
  const embeddingIsBfloat16 = groups[0]?.parts[0]?.format.form === 'bf16';
  const planned = planGroups(config, settings, embeddingIsBfloat16);
  for (const [index, plan] of planned.entries()) {
    const { checksum: _, ...group } = groups[index] ?? { checksum: 0 };
    if (!isDeepStrictEqual(group, plan)) {
      throw new JanusError(
        `${path}: group ${plan.name} is not laid out as this Janus lays out the model of config.json; pack the model again`,
      );
    }
  }
  if (groups.length > planned.length || !isDeepStrictEqual(files, fileSizes(planned))) {
    throw new JanusError(
      `${path}: files or groups are more than the model of config.json has; pack it again`,
    );
  }
}

/**
 * A packed model whose files are open. A group's bytes are checked against the manifest whenever they are read.
 * Reading is synchronous: weights are loaded in worker threads, each of which opens a packed model of its own.
 */
export class PackedModel implements ModelWeights {
  readonly folder: string;
  readonly manifest: PackedManifest;
  readonly config: ModelConfig;
  readonly #files: PackedFiles;
  /** Tensors that are stored as numbers. */
  readonly #plain = new Map<string, Location>();
  /** Tensors that are stored as blocks. A tied embedding is in both maps: the table here above, the LM head here. */
  readonly #quantized = new Map<string, Location>();
  readonly #groups = new Map<string, PackedGroup>();
  /** The group that was read last, because the tensors of a group are asked for one after the other. */
  #latest: PackedGroup | null = null;
  /** Its bytes. Nobody keeps a view of them: memory of its own per group would wait for the garbage collector, all of it at once. */
  #bytes = new Uint8Array(0);

  /** Of what `openPacked` has checked. Takes `files` over, and closes them. */
  constructor(folder: string, manifest: PackedManifest, config: ModelConfig, files: PackedFiles) {
    this.folder = folder;
    this.manifest = manifest;
    this.config = config;
    this.#files = files;
    for (const group of manifest.groups) {
      this.#groups.set(group.name, group);
      for (const part of group.parts) {
        const index = part.format.form === 'blocks' ? this.#quantized : this.#plain;
        index.set(part.name, { group, part });
      }
    }
  }

  /**
   * Where the expert's matrices lie in what `readExpert` reads: gate, up and down, in this order.
   *
   * @throws JanusError if the model has no such expert
   */
  expertGroup(layer: number, expert: number): PackedGroup {
    const group = this.#groups.get(expertGroupName(layer, expert));
    if (group !== undefined) return group;
    const { layers, experts } = this.config;
    throw new JanusError(
      `there is no expert ${expert} of layer ${layer}: the model has ${layers} layers of ${experts} experts`,
    );
  }

  /** Bytes of one expert, the same for all experts of a layer. @throws JanusError if there is no such layer */
  expertBytes(layer: number): number {
    return this.expertGroup(layer, 0).bytes;
  }

  /**
   * Reads an expert by one positional read.
   *
   * @param target at least `expertBytes(layer)` bytes, which may be memory that threads share
   * @throws JanusError that names file and group if there is no such expert, it does not fit, or its bytes are damaged
   */
  readExpert(layer: number, expert: number, target: Uint8Array): void {
    this.#files.readGroup(this.expertGroup(layer, expert), target);
  }

  /** @throws JanusError if the tensor is missing or has another shape */
  verify(name: string, shape: readonly number[]): void {
    this.#find(name, shape, this.#plain, this.#quantized);
  }

  /**
   * The tensor as it is stored, or what its blocks stand for; not to be written to.
   *
   * @throws JanusError as `verify` does, or if its bytes are damaged
   */
  float32(name: string, shape: readonly number[]): Float32Array {
    const { group, part } = this.#find(name, shape, this.#plain, this.#quantized);
    const bytes = part.format.form === 'f32' ? this.#take(group, part) : this.#read(group, part);
    return decodePart(bytes, part.shape, part.format);
  }

  /** @throws JanusError as `float32` does */
  bfloat16(name: string, shape: readonly number[]): Uint8Array | undefined {
    const { group, part } = this.#find(name, shape, this.#plain, this.#quantized);
    return part.format.form === 'bf16' ? this.#take(group, part) : undefined;
  }

  /**
   * The tensor's codes and scales as they are stored; undefined where it is not quantised. Of a tied embedding, this is
   * the LM head.
   *
   * @throws JanusError as `float32` does
   */
  quantized(name: string, shape: readonly number[]): BlockQuantized | undefined {
    const { group, part } = this.#find(name, shape, this.#quantized, this.#plain);
    if (part.format.form !== 'blocks') return undefined;
    return decodeBlocks(this.#read(group, part), part.shape, part.format);
  }

  /**
   * Writes the bytes of a tensor that is stored as the kernels read it to the beginning of `target`.
   *
   * @returns false where it is not stored so
   * @throws JanusError as `float32` does
   */
  readStored(name: string, shape: readonly number[], target: Uint8Array): boolean {
    const { group, part } = this.#find(name, shape, this.#quantized, this.#plain);
    if (part.format.form !== 'blocks') return false;
    target.set(this.#read(group, part));
    return true;
  }

  /** Closes the files. May be called more than once. */
  close(): void {
    this.#files.close();
    this.#makeRoom(0);
  }

  #find(
    name: string,
    shape: readonly number[],
    first: ReadonlyMap<string, Location>,
    second: ReadonlyMap<string, Location>,
  ): Location {
    const found = first.get(name) ?? second.get(name);
    if (found === undefined) {
      throw new JanusError(
        `${this.folder}: the packed model has no tensor ${name}; pack the checkpoint again`,
      );
    }
    const stored = found.part.shape;
    if (stored.length !== shape.length || stored.some((size, axis) => size !== shape[axis])) {
      throw new JanusError(
        `${join(this.folder, found.group.file)}: tensor ${name} has shape [${stored.join(', ')}], and config.json asks ` +
          `for [${shape.join(', ')}]; pack the checkpoint again`,
      );
    }
    return found;
  }

  /** A part's bytes, for the caller alone. */
  #take(group: PackedGroup, part: PackedPart): Uint8Array {
    if (group.parts.length > 1) return this.#read(group, part).slice();
    const bytes = new Uint8Array(group.bytes);
    this.#files.readGroup(group, bytes);
    return bytes.subarray(part.offset, part.offset + part.bytes);
  }

  /** A view of a part's bytes, until another group is read. */
  #read(group: PackedGroup, part: PackedPart): Uint8Array {
    if (this.#latest !== group) {
      this.#latest = null;
      if (this.#bytes.length < group.bytes) this.#makeRoom(group.bytes);
      this.#files.readGroup(group, this.#bytes);
      this.#latest = group;
    }
    return this.#bytes.subarray(part.offset, part.offset + part.bytes);
  }

  /** Gives the memory of the last group back at once, and takes other. */
  #makeRoom(bytes: number): void {
    this.#latest = null;
    this.#bytes.buffer.transfer(0);
    this.#bytes = new Uint8Array(bytes);
  }
}
