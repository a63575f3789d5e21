import { readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadModelConfig } from '../../../gpu-pool/checkpoint/model-folder.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../../shared/model/config.ts';

const SHIPPED_MODELS = fileURLToPath(new URL('../../../gpu-pool/models/', import.meta.url));
export const DEFAULT_MODEL = 'dictionary-moe';

/** What stands in addresses (`/models/<name>/v1`) and in Redis keys. */
const SERVED_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;

export interface ResolvedModel {
  /** Absolute path. */
  readonly folder: string;
  /** Name under which the model is served. */
  readonly name: string;
  readonly config: ModelConfig;
}

/**
 * @param value what `--model` says: the name of a model in `gpu-pool/models`, or the path of a model folder
 * @param name what `--name` says; by default the folder's base name
 * @throws JanusError when there is no such model, its `config.json` is wrong, or the name cannot be served
 */
export function resolveModel(value: string, name?: string): ResolvedModel {
  const shipped = shippedModels();
  const folder = shipped.includes(value) ? join(SHIPPED_MODELS, value) : resolve(value);
  const served = name ?? basename(folder);
  if (!SERVED_NAME.test(served)) {
    throw new JanusError(
      `${JSON.stringify(served)} cannot be a model's name; give one with --name: a letter or digit, then at most 127 ` +
        'letters, digits and . _ : / -',
    );
  }
  try {
    return { folder, name: served, config: loadModelConfig(folder) };
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    const cause = { cause: error };
    throw new JanusError(`--model: ${error.message} (shipped models: ${shipped.join(', ')})`, cause);
  }
}

function shippedModels(): string[] {
  return readdirSync(SHIPPED_MODELS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
