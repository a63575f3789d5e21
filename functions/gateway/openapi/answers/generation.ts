import { z } from 'zod';
import { time } from './common.ts';

const index = z.int().min(0);
const cached = z.int().min(0).describe('Tokens that the pool had kept from earlier requests.');

const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: cached }),
});

const logprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).describe('UTF-8 bytes of the token, which may hold half a character.'),
});
const tokenLogprob = logprob.extend({ top_logprobs: z.array(logprob) });

const functionCall = z.object({ name: z.string(), arguments: z.string().describe('JSON of the arguments.') });
const toolCall = z.object({ id: z.string(), type: z.literal('function'), function: functionCall });

const serviceTier = z.string().optional().describe('Where the request named one.');

const finishReason = z
  .enum(['stop', 'length', 'tool_calls'])
  .nullable()
  .describe('`length`: the answer was cut off by its largest number of tokens or by the context.');

/** `chat.completion` */
export const chatCompletion = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: time,
  model: z.string(),
  choices: z.array(
    z.object({
      index,
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable().describe('null where the answer is calls alone.'),
        refusal: z.null(),
        tool_calls: z.array(toolCall).optional(),
      }),
      logprobs: z.object({ content: z.array(tokenLogprob), refusal: z.null() }).nullable(),
      finish_reason: finishReason,
    }),
  ),
  usage,
  service_tier: serviceTier,
});

/** `text_completion` */
export const completion = z.object({
  id: z.string(),
  object: z.literal('text_completion'),
  created: time,
  model: z.string(),
  choices: z.array(
    z.object({
      index,
      text: z.string(),
      logprobs: z
        .object({
          tokens: z.array(z.string()),
          token_logprobs: z.array(z.number()),
          top_logprobs: z.array(z.record(z.string(), z.number())),
          text_offset: z.array(z.int()),
        })
        .nullable(),
      finish_reason: finishReason,
    }),
  ),
  usage,
  service_tier: serviceTier,
});

const outputText = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()),
  logprobs: z.array(tokenLogprob),
});
const outputMessage = z.object({
  id: z.string(),
  type: z.literal('message'),
  status: z.string(),
  role: z.literal('assistant'),
  content: z.array(outputText),
});
const outputCall = functionCall.extend({
  id: z.string(),
  type: z.literal('function_call'),
  status: z.string(),
  call_id: z.string(),
});

/** `response`; fields of the request that it repeats stand beside these. */
export const response = z.object({
  id: z.string(),
  object: z.literal('response'),
  created_at: time,
  status: z.enum(['completed', 'incomplete', 'failed', 'in_progress']),
  error: z.object({ code: z.string().nullable(), message: z.string() }).nullable(),
  incomplete_details: z.object({ reason: z.string() }).nullable(),
  model: z.string(),
  output: z.array(z.discriminatedUnion('type', [outputMessage, outputCall])),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: cached }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .nullable(),
});
