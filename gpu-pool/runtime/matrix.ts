import type { BlockFormat, BlockQuantized } from './quantize.ts';

/** Weights of a linear layer, as checkpoints store them: `[outputSize, inputSize]`. */
export interface LinearWeights {
  readonly outputSize: number;
  readonly inputSize: number;
  readonly weights: Float32Array;
  /** The same matrix as it is stored, where it is stored rounded. */
  readonly quantized?: BlockQuantized;
}

/** A matrix that is kept in blocks. */
export interface BlockMatrixFormat extends BlockFormat {
  readonly form: 'blocks';
  /** MatMulNBits' accuracy_level: 4 rounds activations to int8 too (the fast form), 1 keeps them f32. */
  readonly accuracyLevel: 1 | 4;
}

/** How the weights of one matrix are kept for computing. */
export type MatrixFormat = { readonly form: 'f32' } | BlockMatrixFormat;
