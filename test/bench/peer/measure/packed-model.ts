import { availableParallelism } from 'node:os';
import { PACKED_VERSION } from '../../../../gpu-pool/packed/manifest.ts';
import { packModel } from '../../../../gpu-pool/packed/pack/pack-model.ts';
import { DEFAULT_BLOCK_SIZE } from '../../../../gpu-pool/packed/packed-formats.ts';

/**
 * Packs a checkpoint with all large matrices in one form, as the peer's files have them, beside itself; reused while it is
 * up to date. Blocks are those of `janus pack`: int4 has the peer's, of 32 weights; int8 has a scale per row where the peer has
 * one per 32.
 *
 * @returns the packed folder
 */
export async function ensurePackedModel(
  folder: string,
  dtype: 'int4' | 'int8',
  log: (line: string) => void,
): Promise<string> {
  const target = `${folder}-${dtype}-uniform-${PACKED_VERSION}`;
  const startedAtMs = performance.now();
  const { kind } = await packModel({
    folder,
    target,
    settings: { dtype, blockSize: DEFAULT_BLOCK_SIZE, uniform: true },
    force: false,
    threads: availableParallelism(),
    signal: new AbortController().signal,
    nowMs: Date.now(),
    events: { onStart: () => {}, onProgress: () => {} },
  });
  log(`${kind}: ${target} (${((performance.now() - startedAtMs) / 1_000).toFixed(0)} s)`);
  return target;
}
