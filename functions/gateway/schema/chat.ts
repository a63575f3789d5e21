import { z } from 'zod';
import type { ChatMessage } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { MAX_CONTENT_PARTS, MAX_MESSAGES, MAX_TOP_LOGPROBS } from './field-limits.ts';
import { commonFields, listOf, textOrList, unicodeText, withoutNulls } from './fields.ts';
import { parseFields } from './parse.ts';
import { type GenerationRequest, generationRequest } from './request.ts';
import { responseFormat } from './response-format.ts';

const textPart = z.object({
  type: z.literal('text', { error: 'must be "text": images, audio and files are not supported' }),
  text: unicodeText,
});

/** Parts become one text, each on lines of its own. */
const content = textOrList(
  unicodeText,
  listOf(textPart, MAX_CONTENT_PARTS, 1).transform((parts) => parts.map(({ text }) => text).join('\n')),
);

const message = z.preprocess(
  withoutNulls,
  z.object({
    role: z.enum(['system', 'developer', 'user', 'assistant'], {
      error: 'must be "system", "developer", "user" or "assistant"',
    }),
    tool_calls: z.array(z.unknown()).max(0, 'must be empty: tools are not supported').optional(),
    content,
    name: unicodeText.optional(),
  }),
);

const chatSchema = z.object({
  ...commonFields,
  messages: listOf(message, MAX_MESSAGES, 1),
  max_completion_tokens: z.int().min(1).optional(),
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  response_format: responseFormat,
});

/** `developer` is OpenAI's newer name for `system`, which chat templates do not know. */
const chatMessage = ({ role, content: text, name }: z.infer<typeof message>): ChatMessage => ({
  role: role === 'developer' ? 'system' : role,
  content: text,
  ...(name === undefined ? {} : { name }),
});

/**
 * @param body parsed JSON of `POST /v1/chat/completions`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseChat(body: unknown): GenerationRequest {
  const fields = parseFields(chatSchema, body);
  const { max_tokens: older, max_completion_tokens: newer } = fields;
  if (older !== undefined && newer !== undefined && older !== newer) {
    throw invalid(
      'max_tokens',
      "Invalid 'max_tokens': differs from 'max_completion_tokens'; give only the latter",
    );
  }
  if (fields.top_logprobs !== undefined && !fields.logprobs) {
    throw invalid('top_logprobs', "Invalid 'top_logprobs': needs 'logprobs' to be true");
  }
  return generationRequest(fields, {
    prompts: [{ kind: 'chat', messages: fields.messages.map(chatMessage) }],
    maxTokens: newer ?? older ?? null,
    topLogprobs: fields.logprobs ? (fields.top_logprobs ?? 0) : null,
    constraint: fields.response_format,
  });
}
