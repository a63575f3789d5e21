import { z } from 'zod';
import type { ChatMessage } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { MAX_CONTENT_PARTS, MAX_MESSAGES, MAX_METADATA, MAX_TOP_LOGPROBS } from './field-limits.ts';
import { commonFields, listOf, textOrList, unicodeText, withoutNulls } from './fields.ts';
import { parseFields } from './parse.ts';
import { type GenerationRequest, generationRequest } from './request.ts';
import { constraintOf, textFormat } from './response-format.ts';
import type { Unsupported } from './unsupported.ts';

const part = z.object({
  type: z.enum(['input_text', 'output_text', 'text'], {
    error: 'must be "input_text" or "output_text": images, audio and files are not supported',
  }),
  text: unicodeText,
});

/** Parts become one text, each on lines of its own. */
const content = textOrList(
  unicodeText,
  listOf(part, MAX_CONTENT_PARTS, 1).transform((parts) => parts.map(({ text }) => text).join('\n')),
);

const item = z.preprocess(
  withoutNulls,
  z.object({
    type: z
      .literal('message', { error: 'must be "message": tools and references are not supported' })
      .default('message'),
    role: z.enum(['system', 'developer', 'user', 'assistant'], {
      error: 'must be "system", "developer", "user" or "assistant"',
    }),
    content,
  }),
);

const input = textOrList(
  unicodeText
    .min(1, 'must not be empty')
    .transform((text): ChatMessage[] => [{ role: 'user', content: text }]),
  listOf(item, MAX_MESSAGES, 1).transform((items): ChatMessage[] =>
    items.map(({ role, content: text }) => ({ role: role === 'developer' ? 'system' : role, content: text })),
  ),
);

const metadata = z.record(z.string(), unicodeText).transform((pairs, context) => {
  if (Object.keys(pairs).length <= MAX_METADATA) return pairs;
  context.addIssue({ code: 'custom', message: `must have at most ${MAX_METADATA} entries` });
  return z.NEVER;
});

const responsesSchema = z.object({
  ...commonFields,
  input,
  instructions: unicodeText.optional(),
  max_output_tokens: z.int().min(1).optional(),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  text: z.preprocess(withoutNulls, z.object({ format: textFormat })).optional(),
  include: z.array(z.string()).default([]),
  metadata: metadata.default({}),
});

/** What this API names otherwise than the completions do, or has beyond them. */
const UNSUPPORTED: readonly Unsupported[] = [
  ['previous_response_id', () => true, 'answers are not kept: send the whole conversation as input'],
  ['conversation', () => true, 'answers are not kept: send the whole conversation as input'],
  ['background', (value) => value !== false, 'use the batch API for what nobody waits for'],
  ['prompt', () => true, 'stored prompts are not supported: send instructions and input'],
  ['truncation', (value) => value !== 'disabled', 'only "disabled" is supported'],
  ['response_format', () => true, 'this API has it at text.format'],
];

const LOGPROBS = 'message.output_text.logprobs';

/**
 * @param body parsed JSON of `POST /v1/responses`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseResponses(body: unknown): GenerationRequest {
  const fields = parseFields(responsesSchema, body, UNSUPPORTED);
  const { instructions, input: messages, max_output_tokens: maxTokens = null } = fields;
  const system: ChatMessage[] = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const wantsLogprobs = fields.include.includes(LOGPROBS) || fields.top_logprobs !== undefined;
  if (fields.n > 1) throw invalid('n', "Invalid 'n': a response has one output");
  return {
    ...generationRequest(fields, {
      prompts: [{ kind: 'chat', messages: [...system, ...messages] }],
      maxTokens,
      topLogprobs: wantsLogprobs ? (fields.top_logprobs ?? 0) : null,
      constraint: constraintOf(fields.text?.format),
    }),
    echo: {
      instructions: instructions ?? null,
      max_output_tokens: maxTokens,
      metadata: fields.metadata,
      text: { format: fields.text?.format ?? { type: 'text' } },
      temperature: fields.temperature,
      top_p: fields.top_p,
    },
  };
}
