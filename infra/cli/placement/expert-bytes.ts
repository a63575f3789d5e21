import type { ModelConfig, WeightForm } from '../../../shared/model/config.ts';

/** Matrices of an expert: gate, up and down. */
const MATRICES = 3;

/** Bytes per weight; the quantised forms have one f32 scale per block of 32. */
const BYTES_PER_WEIGHT: Readonly<Record<WeightForm, number>> = {
  f32: 4,
  int8: 1 + 4 / 32,
  int4: 1 / 2 + 4 / 32,
};

/** Size of one expert's weights in one layer as an instance keeps them, in bytes. */
export function expertBytes(config: ModelConfig, form: WeightForm): number {
  return Math.ceil(MATRICES * config.hiddenSize * config.expertSize * BYTES_PER_WEIGHT[form]);
}
