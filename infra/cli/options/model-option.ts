import { readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadModelConfig } from '../../../gpu-pool/checkpoint/model-folder.ts';
import type { PackSettings } from '../../../gpu-pool/packed/packed-formats.ts';
import { readPackSettings } from '../../../gpu-pool/packed/packed-model.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../../shared/model/config.ts';

const SHIPPED_MODELS = fileURLToPath(new URL('../../../gpu-pool/models/', import.meta.url));
export const DEFAULT_MODEL = 'dictionary-moe';

/** What stands in addresses (`/models/<name>/v1`) and in Redis keys. */
const SERVED_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;

export interface FoundModel {
  /** Absolute path. */
  readonly folder: string;
  readonly config: ModelConfig;
  /** What a packed model was made with; null of a checkpoint. */
  readonly packed: PackSettings | null;
}

export interface ResolvedModel extends FoundModel {
  /** Name under which the model is served. */
  readonly name: string;
}

/**
 * @param value the name of a model in `gpu-pool/models`, or the path of a model folder
 * @param argument flag or argument whose value that is, as errors name it
 * @throws JanusError when there is no such model, or its `config.json` or `manifest.json` is wrong
 */
export function findModel(value: string, argument: string): FoundModel {
  const shipped = shippedModels();
  const folder = shipped.includes(value) ? join(SHIPPED_MODELS, value) : resolve(value);
  try {
    return { folder, config: loadModelConfig(folder), packed: readPackSettings(folder) };
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    const cause = { cause: error };
    throw new JanusError(`${argument}: ${error.message} (shipped models: ${shipped.join(', ')})`, cause);
  }
}

/**
 * @param value what `--model` says, as in {@link findModel}
 * @param name what `--name` says; by default the folder's base name
 * @throws JanusError as `findModel` does, and when the name cannot be served
 */
export function resolveModel(value: string, name?: string): ResolvedModel {
  const model = findModel(value, '--model');
  const served = name ?? basename(model.folder);
  if (SERVED_NAME.test(served)) return { ...model, name: served };
  throw new JanusError(
    `${JSON.stringify(served)} cannot be a model's name; give one with --name: a letter or digit, then at most 127 ` +
      'letters, digits and . _ : / -',
  );
}

function shippedModels(): string[] {
  return readdirSync(SHIPPED_MODELS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
