import { z } from 'zod';
import { invalid } from '../errors.ts';
import { MAX_TOP_LOGPROBS } from './field-limits.ts';
import { commonFields } from './fields.ts';
import { messageList, withToolNames } from './messages.ts';
import { parseFields } from './parse.ts';
import { type GenerationRequest, generationRequest } from './request.ts';
import { responseFormat } from './response-format.ts';
import { chatPrompt, toolUse } from './tool-use.ts';
import { chatToolChoice, chatTools, parallelToolCalls } from './tools.ts';

export const chatSchema = z.object({
  ...commonFields,
  messages: messageList.describe('The conversation so far.'),
  max_completion_tokens: z.int().min(1).optional().describe('The newer name of `max_tokens`.'),
  logprobs: z.boolean().default(false).describe('Tells the log probability of each token.'),
  top_logprobs: z
    .int()
    .min(0)
    .max(MAX_TOP_LOGPROBS)
    .optional()
    .describe('Tells so many alternatives of each token, too.'),
  response_format: responseFormat,
  tools: chatTools.describe('Functions that the answer may call.'),
  tool_choice: chatToolChoice.describe('Whether the answer must call one, and which.'),
  parallel_tool_calls: parallelToolCalls,
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
  const use = toolUse({
    tools: fields.tools,
    choice: fields.tool_choice,
    parallel: fields.parallel_tool_calls,
    format: fields.response_format,
  });
  return generationRequest(fields, {
    prompts: [chatPrompt(withToolNames(fields.messages), use)],
    maxTokens: newer ?? older ?? null,
    topLogprobs: fields.logprobs ? (fields.top_logprobs ?? 0) : null,
    constraint: use.constraint,
    callable: use.callable,
    stop: use.stop,
  });
}
