import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { WeightSource } from './weights.ts';

/** The weights of an open checkpoint, each read when it is asked for. */
export function checkpointWeights(checkpoint: Checkpoint): WeightSource {
  return {
    float32: (name, shape) => checkpoint.readFloat32(name, shape),
    bfloat16: (name, shape) =>
      checkpoint.dtype(name) === 'BF16' ? checkpoint.readBytes(name, shape) : undefined,
  };
}
