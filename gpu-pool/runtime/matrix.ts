import type { BlockFormat } from './quantize.ts';

/** Weights of a linear layer, as checkpoints store them: `[outputSize, inputSize]`. */
export interface LinearWeights {
  readonly outputSize: number;
  readonly inputSize: number;
  readonly weights: Float32Array;
}

/** How the weights of one matrix are kept for computing. */
export type MatrixFormat =
  | { readonly form: 'f32' }
  | ({
      readonly form: 'blocks';
      /** MatMulNBits' accuracy_level: 4 rounds activations to int8 too (the fast form), 1 keeps them f32. */
      readonly accuracyLevel: 1 | 4;
    } & BlockFormat);
