import { join } from 'node:path';
import { readOptionalJsonFile } from '../../../../gpu-pool/checkpoint/json-file.ts';
import { loadModelConfig } from '../../../../gpu-pool/checkpoint/model-folder.ts';
import { storedRowBytes } from '../../../../gpu-pool/kernels/sizes.ts';
import { MANIFEST_FILE, parseManifest } from '../../../../gpu-pool/packed/manifest.ts';
import type { ModelConfig, WeightForm } from '../../../../shared/model/config.ts';
import { modelTensors, roleTensors } from '../../../../shared/model/tensors.ts';

/** Bytes of keys and values of one token, as they are kept for weights of this form. */
export function kvBytesPerToken({ layers, keyValueHeads, headSize }: ModelConfig, form: WeightForm): number {
  const rowBytes = form === 'f32' ? 4 * keyValueHeads * headSize : storedRowBytes(keyValueHeads, headSize);
  return layers * 2 * rowBytes;
}

/**
 * Bytes that a decode step reads: all weights that are not experts, those of the experts that it activates, and keys and values of the
 * tokens before it. Of the embedding it is a few rows, which do not count. Of several sequences each is taken to activate experts
 * without regard to the others, and all of them alike.
 *
 * @param folder of the packed model, or of the checkpoint where the form is f32
 */
export function bytesPerStep(folder: string, form: WeightForm, sequences: number, context: number): number {
  const config = loadModelConfig(folder);
  const share = 1 - (1 - config.expertsPerToken / config.experts) ** sequences;
  const cache = sequences * context * kvBytesPerToken(config, form);
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
