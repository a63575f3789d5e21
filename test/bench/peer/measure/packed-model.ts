import { availableParallelism } from 'node:os';
import { PACKED_VERSION } from '../../../../gpu-pool/packed/manifest.ts';
import { packModel } from '../../../../gpu-pool/packed/pack/pack-model.ts';

/** Of the peer's formats too. */
const BLOCK_SIZE = 32;

/**
 * Packs a checkpoint with all large matrices in one form, as the peer's files have them, beside itself; reused while it is
 * up to date.
 *
 * @returns the packed folder
 */
export async function ensurePackedModel(
  folder: string,
  dtype: 'int4' | 'int8',
  log: (line: string) => void,
): Promise<string> {
  const target = `${folder}-${dtype}-${PACKED_VERSION}`;
  const startedAtMs = performance.now();
  const { kind } = await packModel({
    folder,
    target,
    settings: { dtype, blockSize: BLOCK_SIZE, uniform: true },
    force: false,
    threads: availableParallelism(),
    signal: new AbortController().signal,
    nowMs: Date.now(),
    events: { onStart: () => {}, onProgress: () => {} },
  });
  log(`${kind}: ${target} (${((performance.now() - startedAtMs) / 1_000).toFixed(0)} s)`);
  return target;
}
