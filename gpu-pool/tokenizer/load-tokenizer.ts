import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { readJsonFile, readOptionalJsonFile, readOptionalTextFile } from '../checkpoint/json-file.ts';
import { ChatTemplate } from './chat-template.ts';
import { ModelTokenizer } from './model-tokenizer.ts';
import {
  checkVocabularyFits,
  parseTokenizerConfig,
  parseVocabulary,
  type TokenizerConfig,
} from './tokenizer-files.ts';

/**
 * Loads `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` of a model folder; the last two may be absent.
 *
 * @param modelVocabularySize rows of the model's embedding table, which the tokenizer's ids must not exceed
 * @throws JanusError that names the file and the field if something is missing, wrong or not supported
 */
export function loadTokenizer(folder: string, modelVocabularySize?: number): ModelTokenizer {
  const path = join(folder, 'tokenizer.json');
  const configPath = join(folder, 'tokenizer_config.json');
  const tokenizerJson = readJsonFile(path);
  const configJson = readOptionalJsonFile(configPath) ?? {};
  const config = parseTokenizerConfig(configJson, configPath);
  const vocabulary = parseVocabulary(tokenizerJson, config, path);
  if (modelVocabularySize !== undefined) checkVocabularyFits(vocabulary, modelVocabularySize, path);
  const library = buildTokenizer(tokenizerJson, configJson, path);
  return new ModelTokenizer(library, vocabulary, loadChatTemplate(folder, config, configPath));
}

function buildTokenizer(tokenizerJson: unknown, configJson: unknown, path: string): Tokenizer {
  try {
    return new Tokenizer(tokenizerJson as object, configJson as object);
  } catch (cause) {
    throw new JanusError(`${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** As with Hugging Face, the template's own file takes precedence over the one in the config. */
function loadChatTemplate(folder: string, config: TokenizerConfig, configPath: string): ChatTemplate | null {
  const path = join(folder, 'chat_template.jinja');
  const own = readOptionalTextFile(path);
  if (own !== undefined) return new ChatTemplate(own, path, config.specialTokens);
  if (config.chatTemplate === undefined) return null;
  return new ChatTemplate(config.chatTemplate, configPath, config.specialTokens);
}
