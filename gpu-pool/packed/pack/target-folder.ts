import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PackSettings } from '../packed-formats.ts';
import { isPacked, openPacked } from '../packed-model.ts';
import { replacedFolder } from './temporary-folder.ts';

/** What stands where a packed model is to be put. */
export type TargetState =
  | { readonly kind: 'free' }
  | { readonly kind: 'up to date' }
  /** A packed model that must not be replaced unasked. */
  | { readonly kind: 'different'; readonly reason: string };

/**
 * @param source fingerprint of the checkpoint
 * @throws JanusError if something that is not a packed model is in the way
 */
export function inspectTarget(target: string, source: string, settings: PackSettings): TargetState {
  const stat = fs.statSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return { kind: 'free' };
  if (!stat.isDirectory())
    throw new JanusError(`${target} is a file: choose another folder for the packed model`);
  if (fs.readdirSync(target).length === 0) return { kind: 'free' };
  if (!isPacked(target)) {
    throw new JanusError(
      `${target} holds something else than a packed model: choose another folder, or empty it`,
    );
  }
  const reason = differenceOf(target, source, settings);
  return reason === null ? { kind: 'up to date' } : { kind: 'different', reason };
}

function differenceOf(target: string, source: string, settings: PackSettings): string | null {
  try {
    const model = openPacked(target);
    model.close();
    const { dtype, blockSize, uniform, source: packed } = model.manifest;
    if (packed !== source)
      return 'it was packed from another checkpoint, or the checkpoint has changed since';
    if (dtype !== settings.dtype) return `its dtype is ${dtype}`;
    if (blockSize !== settings.blockSize) return `its block size is ${blockSize}`;
    return uniform === settings.uniform ? null : `it was packed ${uniform ? 'with' : 'without'} --uniform`;
  } catch (error) {
    if (error instanceof JanusError) return error.message;
    throw error;
  }
}

/**
 * Puts a whole packed model in its place, by one rename where nothing stands there.
 *
 * @throws JanusError if that fails; what stood there stays then
 */
export async function publish(temporary: string, target: string): Promise<void> {
  try {
    if (isPacked(target)) replace(temporary, target);
    else fs.renameSync(temporary, target);
    await syncPath(dirname(target));
  } catch (cause) {
    throw new JanusError(`${target} cannot be put in place: ${(cause as Error).message}`, { cause });
  }
}

/** Whoever has the old files open goes on to read them. */
function replace(temporary: string, target: string): void {
  const old = replacedFolder(temporary);
  fs.renameSync(target, old);
  try {
    fs.renameSync(temporary, target);
  } catch (error) {
    fs.renameSync(old, target);
    throw error;
  }
  fs.rmSync(old, { recursive: true, force: true });
}

/** Waits until a file, or the names in a folder, are on the disk. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
