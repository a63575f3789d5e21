import { z } from 'zod';
import { JanusError } from '../errors/janus-error.ts';
import { architectures } from './architectures/registry.ts';
import type { ModelConfig } from './config.ts';
import { parseFields } from './fields.ts';

const modelType = z.object(
  { model_type: z.string({ error: 'must be the name of an architecture' }) },
  { error: 'must be a JSON object' },
);

/**
 * Reads a Hugging Face model configuration.
 *
 * @param configJson content of `config.json`
 * @param generationConfigJson content of `generation_config.json`; its end-of-sequence ids take precedence
 * @throws JanusError that names the file and the field if the architecture is unknown, a field is missing or wrong, or
 * the model needs something that is not supported
 */
export function parseModelConfig(configJson: unknown, generationConfigJson?: unknown): ModelConfig {
  const { model_type: name } = parseFields(modelType, configJson, 'config.json');
  if (!isArchitecture(name)) {
    const supported = Object.keys(architectures).join(', ');
    throw new JanusError(`config.json: model_type "${name}" is not supported; supported: ${supported}`);
  }
  return architectures[name].parseConfig(configJson, generationConfigJson);
}

const isArchitecture = (name: string): name is ModelConfig['architecture'] =>
  Object.hasOwn(architectures, name);
