import { z } from 'zod';
import type { Prompt } from '../../../shared/protocol/request.ts';
import { DEFAULT_COMPLETION_TOKENS, MAX_CHOICES, MAX_TOP_LOGPROBS } from './field-limits.ts';
import { commonFields, listOf, parseWith, textOrList, tokenId, unicodeText } from './fields.ts';
import { inputSchema } from './input-schema.ts';
import { parseFields } from './parse.ts';
import { type GenerationRequest, generationRequest } from './request.ts';
import { responseFormat } from './response-format.ts';
import { NO_TOOLS } from './unsupported.ts';

const text = unicodeText
  .min(1, 'must not be empty')
  .transform((value): Prompt => ({ kind: 'text', text: value }));
/** No limit but the body's: the model's context is the pool's to check. */
const tokens = listOf(tokenId, Number.POSITIVE_INFINITY, 1).transform(
  (ids): Prompt => ({ kind: 'tokens', ids }),
);
const onePrompt = (prompt: Prompt): readonly Prompt[] => [prompt];

/** `string[]`, `number[][]` (several prompts) or `number[]` (one prompt, told by its first element). */
const promptList = z
  .array(z.unknown())
  .transform((values, context): readonly Prompt[] => {
    const single = typeof values[0] === 'number';
    return parseWith(
      single ? tokens.transform(onePrompt) : listOf(textOrList(text, tokens), MAX_CHOICES, 1),
      values,
      context,
    );
  })
  .meta({
    get items() {
      return { anyOf: [text, tokenId, tokens].map(inputSchema) };
    },
  });

export const completionSchema = z.object({
  ...commonFields,
  prompt: textOrList(text.transform(onePrompt), promptList).describe(
    'A text, the token ids of one, or a list of either for several prompts.',
  ),
  logprobs: z
    .int()
    .min(0)
    .max(MAX_TOP_LOGPROBS)
    .optional()
    .describe('Tells the log probability of each token, and of so many alternatives.'),
  // Not in OpenAI's API, but in vLLM's.
  response_format: responseFormat,
});

/**
 * @param body parsed JSON of `POST /v1/completions`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseCompletion(body: unknown): GenerationRequest {
  const fields = parseFields(completionSchema, body, NO_TOOLS);
  return generationRequest(fields, {
    prompts: fields.prompt,
    maxTokens: fields.max_tokens ?? DEFAULT_COMPLETION_TOKENS,
    topLogprobs: fields.logprobs ?? null,
    constraint: fields.response_format,
  });
}
