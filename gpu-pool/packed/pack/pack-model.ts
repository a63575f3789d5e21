import fs from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { elementCount } from '../../../shared/model/safetensors.ts';
import { modelTensors } from '../../../shared/model/tensors.ts';
import { loadModelFolder } from '../../checkpoint/model-folder.ts';
import { verifyCheckpoint } from '../../checkpoint/verify.ts';
import {
  formatManifest,
  MANIFEST_FILE,
  PACKED_FORMAT,
  PACKED_VERSION,
  type PackedManifest,
} from '../manifest.ts';
import { isQuantized, type PackSettings } from '../packed-formats.ts';
import { isPacked } from '../packed-model.ts';
import { fileSizes, type GroupPlan, planGroups } from '../plan.ts';
import { copiedFiles } from './copied-files.ts';
import { fingerprint } from './fingerprint.ts';
import { packInThreads } from './pack-threads.ts';
import { inspectTarget, publish, syncPath } from './target-folder.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';

export interface PackOptions {
  /** Hugging Face checkpoint. */
  readonly folder: string;
  /** Absolute path of the folder to write. */
  readonly target: string;
  readonly settings: PackSettings;
  /** Replace a packed model that stands at `target`, up to date or not. */
  readonly force: boolean;
  readonly threads: number;
  /** Ends packing; nothing stays behind. */
  readonly signal: AbortSignal;
  readonly nowMs: number;
  readonly events: PackEvents;
}

export interface PackEvents {
  /** Packing begins, into files of so many bytes together. */
  onStart(weights: number, bytes: number): void;
  onProgress(doneWeights: number, weights: number): void;
}

export type PackResult =
  | { readonly kind: 'up to date' }
  | { readonly kind: 'packed'; readonly manifest: PackedManifest };

/**
 * Writes a checkpoint's packed form. It grows in a hidden folder beside `target` and is renamed when it is whole and on the
 * disk, so that `target` is a whole packed model or none at every moment.
 *
 * @throws JanusError that names the folder, file, tensor or setting if the checkpoint cannot be packed, `target` holds
 * something else, or the disk is full; the signal's reason when it was aborted
 */
export async function packModel(options: PackOptions): Promise<PackResult> {
  const { folder, target, settings, force } = options;
  if (isPacked(folder))
    throw new JanusError(`${folder} is packed already: give the checkpoint that it came from`);
  const { dtype, blockSize, uniform } = settings;
  if (isQuantized(dtype) ? blockSize === null : blockSize !== null || uniform) {
    throw new JanusError(
      `a block size belongs to int4 and int8, and only they can be uniform; dtype is ${dtype}`,
    );
  }
  const groups = planCheckpoint(folder, settings);
  const source = fingerprint(folder);
  const state = inspectTarget(target, source, settings);
  if (state.kind === 'up to date' && !force) return state;
  if (state.kind === 'different' && !force) {
    throw new JanusError(
      `${target} holds another packed model: ${state.reason}. Replace it (--force) or choose another folder.`,
    );
  }
  const temporary = makeTemporaryFolder(target, { hostname: hostname(), pid: process.pid }, options.nowMs);
  try {
    const manifest = await fill(temporary, groups, source, options);
    await publish(temporary, target);
    return { kind: 'packed', manifest };
  } finally {
    // After it was published there is nothing there.
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}

/** @throws JanusError that names what the checkpoint lacks */
function planCheckpoint(folder: string, settings: PackSettings): GroupPlan[] {
  const { config, checkpoint } = loadModelFolder(folder);
  try {
    verifyCheckpoint(checkpoint, config, 'both');
    const embedding = checkpoint.dtype(modelTensors(config).embedding.name);
    return planGroups(config, settings, embedding === 'BF16');
  } finally {
    checkpoint.close();
  }
}

async function fill(
  temporary: string,
  groups: readonly GroupPlan[],
  source: string,
  { folder, settings, threads, signal, events }: PackOptions,
): Promise<PackedManifest> {
  const files = fileSizes(groups);
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const weights = groups.reduce((sum, group) => sum + weightsOf(group), 0);
  requireSpace(temporary, bytes);
  events.onStart(weights, bytes);
  for (const [file, size] of Object.entries(files)) makeFile(join(temporary, file), size);
  for (const file of copiedFiles(folder)) fs.copyFileSync(join(folder, file), join(temporary, file));
  let done = 0;
  const onWeights = (count: number): void => {
    done += count;
    events.onProgress(done, weights);
  };
  const checksums = await packInThreads({ folder, target: temporary, groups }, threads, onWeights, signal);
  if (fingerprint(folder) !== source) {
    throw new JanusError(`${folder} has changed while it was packed; pack it again`);
  }
  for (const name of fs.readdirSync(temporary)) {
    signal.throwIfAborted();
    await syncPath(join(temporary, name));
  }
  const manifest: PackedManifest = {
    format: PACKED_FORMAT,
    version: PACKED_VERSION,
    source,
    ...settings,
    layout: 'tile8',
    files,
    groups: groups.map((group, index) => ({ ...group, checksum: checksums[index]! })),
  };
  // Last, since it makes the folder a packed model: everything else is on the disk.
  fs.writeFileSync(join(temporary, MANIFEST_FILE), formatManifest(manifest), { flush: true });
  await syncPath(temporary);
  return manifest;
}

const weightsOf = ({ parts }: GroupPlan): number =>
  parts.reduce((sum, { shape }) => sum + elementCount(shape), 0);

function makeFile(path: string, bytes: number): void {
  const descriptor = fs.openSync(path, 'wx');
  fs.ftruncateSync(descriptor, bytes);
  fs.closeSync(descriptor);
}

function requireSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = fs.statfsSync(folder);
  if (bavail * bsize < bytes) {
    throw new JanusError(
      `${dirname(folder)} has ${bavail * bsize} bytes free, and the packed model takes ${bytes}: choose another folder`,
    );
  }
}
