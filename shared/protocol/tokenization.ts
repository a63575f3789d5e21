import type { Prompt } from './request.ts';
import type { RequestFailure } from './token-event.ts';

/** Longest life of a question to a tokenizer, in milliseconds: nobody waits longer for its answer, and nobody works on it. */
export const TOKENIZATION_LIFE_MS = 20_000;

/** What the tokenizer of a model is asked, beside all generations. */
export type TokenizationQuestion =
  | {
      readonly kind: 'tokenize';
      readonly prompt: Prompt;
      /** Whether the tokens that the tokenizer puts around a bare text are added. */
      readonly addSpecialTokens: boolean;
      /** Whether a chat ends with the beginning of the assistant's answer. */
      readonly addGenerationPrompt: boolean;
      /** Whether each token is told as the vocabulary spells it, too. */
      readonly withTokenTexts: boolean;
    }
  | { readonly kind: 'detokenize'; readonly ids: readonly number[] };

/** One question on its way to the attention hosts of its model, of which one answers in the request's token stream. */
export interface TokenizationRequest {
  readonly question: TokenizationQuestion;
  /** Channel on which the host is to tell of the answer; absent where nobody listens. */
  readonly doorbell?: string;
}

/** The only entry of such a request's token stream. */
export type TokenizationReply =
  | {
      readonly kind: 'tokenized';
      readonly ids: readonly number[];
      /** Null where they were not asked for. */
      readonly tokenTexts: readonly string[] | null;
    }
  | { readonly kind: 'detokenized'; readonly text: string }
  | { readonly kind: 'failed'; readonly error: RequestFailure };
