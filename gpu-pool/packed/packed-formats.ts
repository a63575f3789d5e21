import type { WeightForm } from '../../shared/model/config.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { type WeightFormats, weightFormats } from '../runtime/weights.ts';

export const PACKED_DTYPES = ['int4', 'int8', 'f16', 'f32'] as const;
/** Form of a packed model's large matrices. */
export type PackedDtype = (typeof PACKED_DTYPES)[number];

export const BLOCK_SIZES = [32, 64, 128] as const;
export type BlockSize = (typeof BLOCK_SIZES)[number];
/** Of the three, it keeps the most answers (`npm run bench quality`). */
export const DEFAULT_BLOCK_SIZE: BlockSize = 32;

/** What a packed model is made with. */
export interface PackSettings {
  readonly dtype: PackedDtype;
  /** Weights that share a scale; null where nothing is quantised. */
  readonly blockSize: BlockSize | null;
  /**
   * True: all large matrices alike, int8 with one scale per row, which is computed faster; false: those that steer most in a finer
   * form. Only of what is quantised.
   */
  readonly uniform: boolean;
}

/** True where the dtype quantises, so that there is a block size. */
export const isQuantized = (dtype: PackedDtype): boolean => dtype === 'int4' || dtype === 'int8';

/** The weight form that computes with what a dtype stores: f16 is storage only. */
export const packedWeightForm = (dtype: PackedDtype): WeightForm => (dtype === 'f16' ? 'f32' : dtype);

/** The forms in which a packed model's matrices are computed with: those of its weight form, in its blocks. */
export function packedFormats({ dtype, blockSize, uniform }: PackSettings): WeightFormats {
  const { firstExperts, experts, attention, head } = weightFormats(packedWeightForm(dtype));
  const inBlocks = (format: MatrixFormat): MatrixFormat =>
    format.form === 'f32' || blockSize === null ? format : { ...format, blockSize };
  const coarse: MatrixFormat =
    experts.form === 'blocks' && experts.bits === 8 ? { ...experts, perRow: true } : experts;
  const choose = (format: MatrixFormat): MatrixFormat => inBlocks(uniform ? coarse : format);
  return {
    firstExperts: choose(firstExperts),
    experts: choose(experts),
    attention: choose(attention),
    head: choose(head),
  };
}
