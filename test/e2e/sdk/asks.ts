import { z } from 'zod';
import { GOLDEN_CASES } from '../../support/golden.ts';

const known = GOLDEN_CASES.find(({ question }) => question.includes('steeple'))!;

/** A question, and what the shipped model answers greedily. */
export const QUESTION = known.question;
export const ANSWER = known.text;

/** The shipped model's context holds 512 tokens, so that what is asked for must be small. */
export const MOST_STRUCTURED_TOKENS = 96;

/** An answer bound to a schema. */
export const Entry = z.object({
  word: z.string().max(8),
  kind: z.enum(['noun', 'verb']),
  senses: z.int().min(1).max(9),
});

export const TOOL = { name: 'lookup', description: 'Finds words.' };

/** Arguments of the tool. */
export const LookupInput = z.object({ word: z.string().max(8), kind: z.enum(['noun', 'verb']) });

/** What the tool tells. */
export const FOUND = 'found';

/** Fields of an answer that ends when its client hangs up, as it would otherwise be too long to wait for. */
export const ENDLESS = { max_tokens: 480, ignore_eos: true };

/** Says more than the model's context holds. */
export const TOO_LONG = 'harbor '.repeat(600);
