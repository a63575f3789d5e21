import { z } from 'zod';
import { JanusError } from '../../errors/janus-error.ts';
import { parseFields, tokenId } from '../fields.ts';

const idOrIds = z.union([tokenId, z.array(tokenId)], { error: 'must be a token id or an array of them' });
const schema = z.object({ eos_token_id: idOrIds.nullish() }, { error: 'must be a JSON object' });

/**
 * Token ids that end an answer: those of `generation_config.json` where it names any, else those of `config.json`,
 * as Hugging Face's `generate` does.
 *
 * @throws JanusError that names the file if an id is not one of the vocabulary
 */
export function parseEndOfSequenceIds(
  configJson: unknown,
  generationConfigJson: unknown,
  vocabularySize: number,
): readonly number[] {
  const own = parseFields(schema, configJson, 'config.json').eos_token_id;
  const generation = parseFields(schema, generationConfigJson ?? {}, 'generation_config.json').eos_token_id;
  const source = generation == null ? 'config.json' : 'generation_config.json';
  const ids = [...new Set([generation ?? own ?? []].flat())];
  const outside = ids.find((id) => id >= vocabularySize);
  if (outside !== undefined) {
    throw new JanusError(
      `${source}: eos_token_id must be below vocab_size, but ${outside} is not below ${vocabularySize}`,
    );
  }
  return ids;
}
