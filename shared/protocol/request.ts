/** How one sequence is sampled. The gateway fills every field, so that no default lives in two places. */
export interface SamplingSettings {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Nucleus mass in (0, 1]; 1 keeps all. */
  readonly topP: number;
  /** Number of best tokens kept; 0 keeps all. */
  readonly topK: number;
  /** Tokens less likely than minP × the best one's probability are dropped; 0 keeps all. */
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** Divides positive and multiplies negative logits of tokens seen in prompt or answer; 1 changes nothing. */
  readonly repetitionPenalty: number;
  /** Unsigned 32-bit seed. The same seed gives the same text whatever else is in the batch. */
  readonly seed: number;
  /** [token id, bias added to its logit] */
  readonly logitBias: readonly (readonly [number, number])[];
  /** Texts that end the answer; they are not part of it. */
  readonly stop: readonly string[];
  /** Token ids that end the answer besides the model's own. */
  readonly stopTokenIds: readonly number[];
  /** True: the model's end-of-sequence ids do not end the answer. */
  readonly ignoreEndOfSequence: boolean;
  /** Number of alternatives reported per token; null: no log probabilities at all. */
  readonly topLogprobs: number | null;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

export type Prompt =
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly ids: readonly number[] };

/** What the text of an answer must be; the pool compiles it (shared/constrained/compile-schema.ts), the gateway has checked it. */
export type Constraint =
  /** Any JSON object. */
  | { readonly kind: 'json_object' }
  /** A JSON value that fits a JSON Schema. */
  | { readonly kind: 'json_schema'; readonly schema: Readonly<Record<string, unknown>> };

/**
 * One sequence to generate: the data of one BullMQ job. A request with `n` choices or several prompts is several
 * jobs that share `requestId` and write to one token stream.
 */
export interface SequenceJob {
  readonly requestId: string;
  readonly model: string;
  /** Position of this sequence among the request's choices. */
  readonly choice: number;
  readonly prompt: Prompt;
  readonly sampling: SamplingSettings;
  /** Absent: the answer is free. */
  readonly constraint?: Constraint;
  /** Largest number of answer tokens; null: as many as the context holds. */
  readonly maxTokens: number | null;
  /** Unix time in milliseconds at which the gateway accepted the request. */
  readonly acceptedAtMs: number;
  /** Channel on which the host is to tell of new entries in the token stream; absent where nobody listens. */
  readonly doorbell?: string;
}

/** How a sequence ended; the return value of its BullMQ job. */
export interface SequenceOutcome {
  readonly state: 'finished' | 'failed' | 'cancelled';
  readonly reason: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}
