import type { ResourceLimits } from 'node:worker_threads';

/**
 * Of threads that compute. Their weights and buffers lie outside of the heap, and a step leaves little behind, so the usual young
 * generation, of which half is kept free to be copied to, would be tens of megabytes of memory per thread for nothing.
 */
export const WORKER_LIMITS: ResourceLimits = { maxYoungGenerationSizeMb: 6 };
