import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Verifiable } from '../checkpoint/verify.ts';
import type { ModelWeights } from './weights.ts';

/** The weights of an open checkpoint, each read when it is asked for. */
export function checkpointWeights(checkpoint: Checkpoint): ModelWeights & Verifiable {
  return {
    verify: (name, shape) => checkpoint.verify(name, shape),
    float32: (name, shape) => checkpoint.readFloat32(name, shape),
    bfloat16: (name, shape) =>
      checkpoint.dtype(name) === 'BF16' ? checkpoint.readBytes(name, shape) : undefined,
  };
}
