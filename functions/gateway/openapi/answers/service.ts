import { z } from 'zod';
import { list, time } from './common.ts';

export const model = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: time,
  owned_by: z.string(),
  max_model_len: z.int().describe('Largest number of tokens of prompt and answer together.'),
});
export const modelList = list(model);

export const tokenization = z.object({
  count: z.int().min(0),
  max_model_len: z.int().describe('Largest number of tokens of prompt and answer together.'),
  tokens: z.array(z.int().min(0)),
  token_strs: z.array(z.string()).nullable().describe('null where they were not asked for.'),
});
export const detokenization = z.object({ prompt: z.string().describe('With its special tokens.') });

export const health = z.object({ status: z.literal('ok'), redisLatencyMs: z.number() });
export const readiness = z.object({
  status: z.literal('ready'),
  models: z.array(
    z.object({
      id: z.string(),
      state: z
        .enum(['ready', 'loading', 'asleep'])
        .describe(
          'A model is asleep that has no host and is given some by its scaler once somebody asks for it.',
        ),
      missing: z.array(z.string()).describe('What the model lacks.'),
    }),
  ),
});
