import { join } from 'node:path';
import { readOptionalJsonFile } from '../../../../gpu-pool/checkpoint/json-file.ts';
import { loadModelConfig } from '../../../../gpu-pool/checkpoint/model-folder.ts';
import { MANIFEST_FILE, parseManifest } from '../../../../gpu-pool/packed/manifest.ts';
import type { WeightForm } from '../../../../shared/model/config.ts';
import { modelTensors, roleTensors } from '../../../../shared/model/tensors.ts';
import { kvBytesPerToken } from '../../growth/contexts.ts';

/**
 * Bytes that decoding a token of one sequence reads: all weights that are not experts, those of the experts that it activates, and
 * keys and values of the tokens before it. Of the embedding it is one row, which does not count.
 *
 * @param folder of the packed model, or of the checkpoint where the form is f32
 */
export function bytesPerToken(folder: string, form: WeightForm, context: number): number {
  const config = loadModelConfig(folder);
  const share = config.expertsPerToken / config.experts;
  const cache = context * kvBytesPerToken(config, form);
  if (form === 'f32') {
    const { embedding } = modelTensors(config);
    const bytes = [...roleTensors(config, 'both')].map(({ name, shape }) => {
      const size = 4 * shape.reduce((product, axis) => product * axis, 1);
      return name === embedding.name && !config.tiedEmbeddings
        ? 0
        : size * (name.includes('.experts.') ? share : 1);
    });
    return cache + bytes.reduce((sum, each) => sum + each, 0);
  }
  const path = join(folder, MANIFEST_FILE);
  const { groups } = parseManifest(readOptionalJsonFile(path), path);
  const weights = groups.map(({ name, bytes }) => {
    if (name === 'embedding') return 0;
    return name.includes(' expert ') ? bytes * share : bytes;
  });
  return cache + weights.reduce((sum, each) => sum + each, 0);
}
