import { partBytes } from '../../../gpu-pool/packed/part-format.ts';
import { expertFormat, type WeightFormats } from '../../../gpu-pool/runtime/weights.ts';
import type { ModelConfig } from '../../../shared/model/config.ts';

/**
 * Size of one expert's weights in one layer as an instance keeps them, in bytes: the mean over the layers, since the first
 * ones may be kept in a finer form.
 */
export function expertBytes(config: ModelConfig, formats: WeightFormats): number {
  const { layers, hiddenSize, expertSize } = config;
  let total = 0;
  for (let layer = 0; layer < layers; layer++) {
    const format = expertFormat(formats, layer);
    const gateOrUp = partBytes([expertSize, hiddenSize], format);
    total += 2 * gateOrUp + partBytes([hiddenSize, expertSize], format);
  }
  return Math.ceil(total / layers);
}
