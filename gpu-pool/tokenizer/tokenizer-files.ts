import { z } from 'zod';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { flag, isTokenId, onlySupported, parseFields, tokenId } from '../../shared/model/fields.ts';

const addedToken = z.object(
  { id: tokenId, content: z.string({ error: 'must be a text' }), special: flag },
  { error: 'must be a token with id, content and special' },
);

const isVocabulary = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every(isTokenId);

/** The parts of `tokenizer.json` on which exact decoding by bytes rests; the library checks the others. */
const tokenizerFields = z.object(
  {
    added_tokens: z.array(addedToken, { error: 'must be an array of tokens' }),
    decoder: z.object(
      {
        type: z.literal('ByteLevel', {
          error: 'must be "ByteLevel": only byte-level vocabularies are supported yet',
        }),
      },
      { error: 'must be a ByteLevel decoder: only byte-level vocabularies are supported yet' },
    ),
    model: z.object(
      {
        type: z.literal('BPE', { error: 'must be "BPE": nothing else is supported yet' }),
        vocab: z.custom<Record<string, number>>(isVocabulary, { error: 'must map tokens to ids' }),
        end_of_word_suffix: onlySupported(''),
      },
      { error: 'must be a BPE model' },
    ),
  },
  { error: 'must be a JSON object' },
);

export interface Vocabulary {
  /** Token texts by id, as `tokenizer.json` spells them; `undefined` where an id is not used. */
  readonly tokens: readonly (string | undefined)[];
  /** Ids of tokens that are matched in the text before BPE, by their plain text. */
  readonly addedIds: ReadonlySet<number>;
  readonly specialIds: ReadonlySet<number>;
}

/**
 * @param tokenizerJson content of `tokenizer.json`
 * @param config content of `tokenizer_config.json`, which may call more tokens special
 * @throws JanusError that names the field if something is missing or not supported
 */
export function parseVocabulary(tokenizerJson: unknown, config: TokenizerConfig, path: string): Vocabulary {
  const { added_tokens, model } = parseFields(tokenizerFields, tokenizerJson, path);
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { content, id } of added_tokens) tokens[id] = content;
  const special = new Set(config.additionalSpecialTokens);
  const specialTokens = added_tokens.filter((token) => token.special || special.has(token.content));
  return {
    tokens,
    addedIds: new Set(added_tokens.map(({ id }) => id)),
    specialIds: new Set(specialTokens.map(({ id }) => id)),
  };
}

const specialToken = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)], {
    error: 'must be a token',
  })
  .nullish();

const configFields = z.object(
  {
    bos_token: specialToken,
    eos_token: specialToken,
    unk_token: specialToken,
    pad_token: specialToken,
    additional_special_tokens: z.array(specialToken, { error: 'must be an array of tokens' }).nullish(),
    chat_template: z
      .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))], {
        error: 'must be a template, or an array of templates with names',
      })
      .nullish(),
  },
  { error: 'must be a JSON object' },
);

export interface TokenizerConfig {
  /** `bos_token` and the like, as chat templates name them; those that the model does not have are absent. */
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly additionalSpecialTokens: readonly string[];
  /** Jinja text of the template, of the one called `default` where there are several. */
  readonly chatTemplate: string | undefined;
}

/** @throws JanusError that names the field if something is wrong */
export function parseTokenizerConfig(configJson: unknown, path: string): TokenizerConfig {
  const { chat_template, additional_special_tokens, ...tokens } = parseFields(configFields, configJson, path);
  const named = Object.entries(tokens).filter((entry): entry is [string, string] => entry[1] != null);
  return {
    specialTokens: Object.fromEntries(named),
    additionalSpecialTokens: (additional_special_tokens ?? []).filter((token) => token != null),
    chatTemplate: Array.isArray(chat_template)
      ? chat_template.find(({ name }) => name === 'default')?.template
      : (chat_template ?? undefined),
  };
}

/** @throws JanusError if a token's id lies outside the model's embedding table of `vocabularySize` rows */
export function checkVocabularyFits(vocabulary: Vocabulary, vocabularySize: number, path: string): void {
  const size = vocabulary.tokens.length;
  if (size > vocabularySize) {
    throw new JanusError(
      `${path}: its largest token id is ${size - 1}, and vocab_size in config.json is ${vocabularySize}; ` +
        'check that tokenizer and model belong together',
    );
  }
}
