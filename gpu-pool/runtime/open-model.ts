import type { ModelConfig } from '../../shared/model/config.ts';
import { loadModelFolder } from '../checkpoint/model-folder.ts';
import type { Verifiable } from '../checkpoint/verify.ts';
import { packedFormats } from '../packed/packed-formats.ts';
import { isPacked, openPacked } from '../packed/packed-model.ts';
import { checkpointWeights } from './checkpoint-weights.ts';
import type { ModelSource } from './model-source.ts';
import { type ModelWeights, type WeightFormats, weightFormats } from './weights.ts';

export interface OpenModel {
  readonly config: ModelConfig;
  readonly weights: ModelWeights & Verifiable;
  readonly formats: WeightFormats;
  close(): void;
}

/**
 * Opens a Hugging Face checkpoint, whose weights take the asked form when they are loaded, or a packed model, which has its
 * own. Weights are not read.
 *
 * @throws JanusError that names the folder, file, field or tensor if something is missing or wrong
 */
export function openModel({ folder, weightForm }: ModelSource): OpenModel {
  if (isPacked(folder)) {
    const packed = openPacked(folder);
    return {
      config: packed.config,
      weights: packed,
      formats: packedFormats(packed.manifest),
      close: () => packed.close(),
    };
  }
  const { config, checkpoint } = loadModelFolder(folder);
  return {
    config,
    weights: checkpointWeights(checkpoint),
    formats: weightFormats(weightForm),
    close: () => checkpoint.close(),
  };
}
