import { z } from 'zod';
import * as bounds from './field-limits.ts';

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
 * A list that stops at its first bad element, so that a long list of nonsense costs one issue and not one per element.
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
    });

/** A field that is a text or a list: unlike a union, it tells what is wrong inside. */
export const textOrList = <T>(text: z.ZodType<T>, list: z.ZodType<T>) =>
  z.unknown().transform((value, context): T => {
    if (typeof value === 'string') return parseWith(text, value, context);
    if (Array.isArray(value)) return parseWith(list, value, context);
    context.addIssue({
      code: 'custom',
      message: value === undefined ? 'is required' : 'must be a string or a list',
    });
    return z.NEVER;
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

const stopText = unicodeText.min(1, 'must not be empty');
const stop = textOrList(
  stopText.transform((text) => [text]),
  listOf(stopText, bounds.MAX_STOP_TEXTS),
);

/** Fields that chat and text completions share. Names and defaults are OpenAI's, then vLLM's. */
export const commonFields = {
  model: z.string().min(1, 'must not be empty').optional(),
  stream: z.boolean().default(false),
  stream_options: z
    .preprocess(withoutNulls, z.object({ include_usage: z.boolean().default(false) }))
    .optional(),
  n: z.int().min(1).max(bounds.MAX_CHOICES_PER_PROMPT).default(1),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  presence_penalty: z.number().min(-2).max(2).default(0),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  seed: z.number().refine(Number.isInteger, 'must be an integer').optional(),
  stop: stop.optional(),
  logit_bias: logitBias.default([]),
  max_tokens: z.int().min(1).optional(),
  top_k: z.int().min(-1).default(0),
  min_p: z.number().min(0).max(1).default(0),
  repetition_penalty: z
    .number()
    .min(bounds.MIN_REPETITION_PENALTY)
    .max(bounds.MAX_REPETITION_PENALTY)
    .default(1),
  stop_token_ids: listOf(tokenId, bounds.MAX_STOP_TOKEN_IDS).default([]),
  ignore_eos: z.boolean().default(false),
};

export type CommonFields = z.infer<z.ZodObject<typeof commonFields>>;
