import { z } from 'zod';
import { FIRST_LEVEL, LAST_LEVEL } from '../../../shared/admission/fair-priority.ts';
import * as bounds from './field-limits.ts';
import { inputSchema } from './input-schema.ts';

/** Text without lone surrogates: they have no UTF-8 form, and no tokenizer can take them. */
export const unicodeText = z
  .string()
  .refine((text) => text.isWellFormed(), 'contains half a UTF-16 surrogate pair, which is not valid Unicode');

/** Hands a value to `schema` and passes on the first thing that is wrong with it. */
export function parseWith<T>(
  schema: z.ZodType<T>,
  value: unknown,
  context: z.RefinementCtx,
  path: readonly PropertyKey[] = [],
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  context.addIssue({ code: 'custom', message: issue.message, path: [...path, ...issue.path] });
  return z.NEVER;
}

/**
 * A list that stops at its first bad element, so that a long list of nonsense costs one issue and not one per element. To
 * zod its elements are unknown; what they are is told beside, for the document of the API, and made out only when that is made.
 *
 * @param max largest number of elements
 */
export const listOf = <T>(element: z.ZodType<T>, max: number, min = 0) =>
  z
    .array(z.unknown())
    .min(min, 'must not be empty')
    .max(max, `must have at most ${max} elements`)
    .transform((values, context) => {
      const parsed: T[] = [];
      for (const [index, value] of values.entries()) {
        parsed.push(parseWith(element, value, context, [index]));
        if (context.issues.length > 0) return z.NEVER;
      }
      return parsed;
    })
    .meta({
      get items() {
        return inputSchema(element);
      },
      maxItems: Number.isFinite(max) ? max : undefined,
    });

/** A field that is a text or a list: unlike a union, it tells what is wrong inside. */
export const textOrList = <T>(text: z.ZodType<T>, list: z.ZodType<T>) =>
  z
    .unknown()
    .transform((value, context): T => {
      if (typeof value === 'string') return parseWith(text, value, context);
      if (Array.isArray(value)) return parseWith(list, value, context);
      context.addIssue({
        code: 'custom',
        message: value === undefined ? 'is required' : 'must be a string or a list',
      });
      return z.NEVER;
    })
    .meta({
      get anyOf() {
        return [inputSchema(text), inputSchema(list)];
      },
    });

/** null means the same as an absent field, wherever a client's library fills in all fields. */
export const withoutNulls = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null))
    : value;

export const tokenId = z.int().min(0);

const logitBias = z.record(z.string(), z.unknown()).transform((biases, context) => {
  const entries = Object.entries(biases);
  if (entries.length > bounds.MAX_LOGIT_BIASES) {
    context.addIssue({ code: 'custom', message: `must have at most ${bounds.MAX_LOGIT_BIASES} entries` });
    return z.NEVER;
  }
  const parsed: (readonly [number, number])[] = [];
  for (const [key, bias] of entries) {
    const id = /^\d{1,9}$/.test(key) ? Number(key) : Number.NaN;
    if (Number.isNaN(id) || typeof bias !== 'number' || !(bias >= -100 && bias <= 100)) {
      const message = 'must map a token id to a number from -100 to 100';
      context.addIssue({ code: 'custom', message, path: [key] });
      return z.NEVER;
    }
    parsed.push([id, bias]);
  }
  return parsed;
});

/** Tells in the document what the check above asks for. */
const biasValues = { type: 'number', minimum: -100, maximum: 100 };

const stopText = unicodeText.min(1, 'must not be empty');
const stop = textOrList(
  stopText.transform((text) => [text]),
  listOf(stopText, bounds.MAX_STOP_TEXTS),
);

/** OpenAI's names. */
const SERVICE_TIERS = ['auto', 'default', 'flex', 'priority'] as const;

/** Fields that chat and text completions share. Names and defaults are OpenAI's, then vLLM's. */
export const commonFields = {
  model: z
    .string()
    .min(1, 'must not be empty')
    .optional()
    .describe('Name of a model; may be left out where the address names it.'),
  stream: z.boolean().default(false).describe('Sends the answer as server-sent events, as it comes.'),
  stream_options: z
    .preprocess(withoutNulls, z.object({ include_usage: z.boolean().default(false) }))
    .optional()
    .describe('With `include_usage`, a stream ends with an object that counts the tokens.'),
  n: z.int().min(1).max(bounds.MAX_CHOICES_PER_PROMPT).default(1).describe('Answers per prompt.'),
  temperature: z.number().min(0).max(2).default(1).describe('0 takes the likeliest token each time.'),
  top_p: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe('Keeps the likeliest tokens that together have this probability.'),
  presence_penalty: z
    .number()
    .min(-2)
    .max(2)
    .default(0)
    .describe('Taken from the logit of every token that the answer holds.'),
  frequency_penalty: z
    .number()
    .min(-2)
    .max(2)
    .default(0)
    .describe('The same, as often as the answer holds the token.'),
  seed: z
    .number()
    .refine(Number.isInteger, 'must be an integer')
    .meta({ type: 'integer' })
    .optional()
    .describe('The same seed and request give the same answer.'),
  stop: stop.optional().describe('Texts that end the answer; they are no part of it.'),
  logit_bias: logitBias
    .meta({ additionalProperties: biasValues, maxProperties: bounds.MAX_LOGIT_BIASES })
    .default([])
    .describe('Added to the logits of tokens, by their ids.'),
  max_tokens: z.int().min(1).optional().describe('Largest number of tokens of an answer.'),
  top_k: z.int().min(-1).default(0).describe('Keeps so many of the likeliest tokens; 0 and -1 keep all.'),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("Drops tokens less likely than this share of the likeliest one's probability."),
  repetition_penalty: z
    .number()
    .min(bounds.MIN_REPETITION_PENALTY)
    .max(bounds.MAX_REPETITION_PENALTY)
    .default(1)
    .describe('Above 1, tokens of prompt and answer become less likely.'),
  stop_token_ids: listOf(tokenId, bounds.MAX_STOP_TOKEN_IDS)
    .default([])
    .describe('Tokens that end the answer, besides those of the model.'),
  priority: z
    .int()
    .min(FIRST_LEVEL)
    .max(LAST_LEVEL)
    .optional()
    .describe(
      'A lower one goes before, also before those of others where the API key may; 0 where it is absent.',
    ),
  service_tier: z
    .enum(SERVICE_TIERS, { error: `must be one of ${SERVICE_TIERS.join(', ')}` })
    .optional()
    .describe('`priority` goes before all others, where the API key may, and `flex` after them.'),
  ignore_eos: z.boolean().default(false).describe('Lets the answer go on where the model would end it.'),
};

export type CommonFields = z.infer<z.ZodObject<typeof commonFields>>;
