import fs from 'node:fs';
import { join } from 'node:path';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import { parseModelConfig } from '../../shared/model/parse.ts';
import { Checkpoint } from './checkpoint.ts';
import { readJsonFile, readOptionalJsonFile } from './json-file.ts';

export interface ModelFolder {
  readonly config: ModelConfig;
  /** Open: whoever loads the folder closes it. */
  readonly checkpoint: Checkpoint;
}

/**
 * Reads `config.json` and `generation_config.json` of a Hugging Face checkpoint folder.
 *
 * @throws JanusError that names the folder, file or field if something is missing or wrong
 */
export function loadModelConfig(folder: string): ModelConfig {
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new JanusError(`model folder ${folder} does not exist: give the path of a Hugging Face checkpoint`);
  }
  const config = readJsonFile(join(folder, 'config.json'));
  const generationConfig = readOptionalJsonFile(join(folder, 'generation_config.json'));
  try {
    return parseModelConfig(config, generationConfig);
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    throw new JanusError(`${folder}: ${error.message}`, { cause: error });
  }
}

/**
 * Opens a Hugging Face checkpoint folder. Weights are not read; see `verifyCheckpoint`.
 *
 * @throws JanusError that names the folder, file, field or tensor if something is missing or wrong
 */
export function loadModelFolder(folder: string): ModelFolder {
  const config = loadModelConfig(folder);
  return { config, checkpoint: Checkpoint.open(folder) };
}
