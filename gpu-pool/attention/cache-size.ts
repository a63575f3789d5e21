import type { ModelConfig } from '../../shared/model/config.ts';
import { storedRowBytes } from '../kernels/sizes.ts';
import { cacheBufferBytes } from './cache-region.ts';
import { GRANULE_TOKENS } from './slot-buffers.ts';

/** Bytes of the smallest buffer of a KV cache in kernel memory. */
export const cacheUnitBytes = ({ keyValueHeads, headSize }: ModelConfig): number =>
  GRANULE_TOKENS * storedRowBytes(keyValueHeads, headSize);

/** Room that the KV cache of one sequence that fills the context takes in kernel memory. */
export function fullCacheBytes(config: ModelConfig): number {
  const { layers, keyValueHeads, headSize, contextLength } = config;
  const floats = (contextLength * storedRowBytes(keyValueHeads, headSize)) / 4;
  return 2 * layers * cacheBufferBytes(floats, cacheUnitBytes(config));
}
