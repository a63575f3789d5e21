import type { WeightForm } from '../../shared/model/config.ts';
import type { TensorSpec } from '../../shared/model/tensor-specs.ts';
import type { LinearWeights, MatrixFormat } from './matrix.ts';
import type { BlockQuantized } from './quantize.ts';

/** Where weights come from: a checkpoint, or a test's arrays. */
export interface WeightSource {
  /**
   * The tensor `name` as f32, whatever it is stored as.
   * @throws JanusError if it is missing or has another shape.
   */
  float32(name: string, shape: readonly number[]): Float32Array;
  /**
   * The bytes of the tensor `name` where it is stored as bf16, else undefined.
   * @throws JanusError if it is missing or has another shape.
   */
  bfloat16?(name: string, shape: readonly number[]): Uint8Array | undefined;
  /** The tensor as it is stored where that is in blocks, else undefined. @throws JanusError as `float32` does */
  quantized?(name: string, shape: readonly number[]): BlockQuantized | undefined;
}

/** A model's weights, some of which may be stored as the kernels read them. */
export interface ModelWeights extends WeightSource {
  /** Writes the bytes of a tensor to `target`, false where it is not stored as the kernels read it. @throws JanusError as `float32` does */
  readStored?(name: string, shape: readonly number[], target: Uint8Array): boolean;
  /** Reads the matrices of an expert, stored as the kernels read them, to `target`. Absent where experts are not stored so. */
  readExpert?(layer: number, expert: number, target: Uint8Array): void;
}

/** Reads a matrix `[outputs, inputs]`. */
export function readLinear(source: WeightSource, { name, shape }: TensorSpec): LinearWeights {
  const quantized = source.quantized?.(name, shape);
  const size = { outputSize: shape[0]!, inputSize: shape[1]! };
  // What is stored in blocks is computed with as it is; nobody asks for the numbers that it stands for.
  return quantized
    ? { ...size, quantized, weights: new Float32Array(0) }
    : { ...size, weights: source.float32(name, shape) };
}

/** Formats of a model's large matrices. Norms and the gate are always f32: they are small and they steer. */
export interface WeightFormats {
  /** Experts of the first `FIRST_LAYERS` layers. */
  readonly firstExperts: MatrixFormat;
  readonly experts: MatrixFormat;
  /** Projections of q, k, v and of the attention's output. */
  readonly attention: MatrixFormat;
  readonly head: MatrixFormat;
}

/**
 * An error in the first layers' experts passes every router after them and can send a token to other experts. On the
 * shipped model, int8 rounding of layer 0 or 1 alone moves log probabilities by 0.2 (RMS), of any later layer by less
 * than 0.05. So these experts are kept in the next finer form.
 */
const FIRST_LAYERS = 2;

const FLOAT32: MatrixFormat = { form: 'f32' };
const INT8: MatrixFormat = { form: 'blocks', bits: 8, blockSize: 32, zeroPoints: false, accuracyLevel: 4 };
const INT8_PER_ROW: MatrixFormat = { ...INT8, perRow: true };
const INT4: MatrixFormat = { form: 'blocks', bits: 4, blockSize: 32, zeroPoints: true, accuracyLevel: 4 };

/**
 * Chosen by counting unchanged greedy answers on the shipped model (test/golden): int8 keeps 98.5% this way, but 95% with
 * attention and head rounded too; int4 keeps 93% either way, so there they are int8, with one scale per row, which costs no answer
 * more than one per block and is what the kernels are fastest with. Activations rounded to int8
 * (accuracy level 4) cost int8 two answers in 200; without it int8 is six to twelve times slower.
 */
const WEIGHT_FORMATS: Readonly<Record<WeightForm, WeightFormats>> = {
  f32: { firstExperts: FLOAT32, experts: FLOAT32, attention: FLOAT32, head: FLOAT32 },
  int8: { firstExperts: FLOAT32, experts: INT8, attention: FLOAT32, head: FLOAT32 },
  int4: { firstExperts: INT8_PER_ROW, experts: INT4, attention: INT8_PER_ROW, head: INT8_PER_ROW },
};

/** The formats that a weight form stands for. */
export const weightFormats = (form: WeightForm): WeightFormats => WEIGHT_FORMATS[form];

/** The format of one layer's experts. */
export const expertFormat = (formats: WeightFormats, layer: number): MatrixFormat =>
  layer < FIRST_LAYERS ? formats.firstExperts : formats.experts;
