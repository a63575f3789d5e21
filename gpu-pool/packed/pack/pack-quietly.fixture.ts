import { type BlockSize, isQuantized, type PackedDtype } from '../packed-formats.ts';
import { type PackOptions, type PackResult, packModel } from './pack-model.ts';

export interface QuietOptions extends Partial<Omit<PackOptions, 'folder' | 'target'>> {
  readonly blockSize?: BlockSize;
  readonly uniform?: boolean;
}

/** Packs with what most tests do not care about: one thread, blocks of 32, nobody watching. */
export function packQuietly(
  folder: string,
  target: string,
  dtype: PackedDtype,
  { blockSize = 32, uniform = false, ...options }: QuietOptions = {},
): Promise<PackResult> {
  return packModel({
    folder,
    target,
    settings: { dtype, blockSize: isQuantized(dtype) ? blockSize : null, uniform },
    force: false,
    threads: 1,
    signal: new AbortController().signal,
    nowMs: 0,
    events: { onStart: () => undefined, onProgress: () => undefined },
    ...options,
  });
}
