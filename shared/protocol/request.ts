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

/** A call that an assistant made. */
export interface ToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly arguments: Readonly<Record<string, unknown>>;
  };
}

/** Fields have the names that chat templates know. */
export interface ChatMessage {
  readonly role: string;
  /** '' where a message holds calls alone. */
  readonly content: string;
  /** Of who speaks; in a tool's message, of its function. */
  readonly name?: string;
  readonly tool_calls?: readonly ToolCall[];
  /** The call that a tool's message answers. */
  readonly tool_call_id?: string;
}

/** A function that a model may call. */
export interface FunctionSpec {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of an object. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** The same as chat templates know it. */
export interface FunctionTool {
  readonly type: 'function';
  readonly function: FunctionSpec;
}

export type Prompt =
  | {
      readonly kind: 'chat';
      readonly messages: readonly ChatMessage[];
      /** Absent: the model is told of none. */
      readonly tools?: readonly FunctionTool[];
    }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly ids: readonly number[] };

/** What a JSON answer must be. */
export type JsonConstraint =
  /** Any JSON object. */
  | { readonly kind: 'json_object' }
  /** A JSON value that fits a JSON Schema. */
  | { readonly kind: 'json_schema'; readonly schema: Readonly<Record<string, unknown>> };

/** Exactly one call of one of some functions, in the form of tool-call-text.ts. */
export interface CallConstraint {
  readonly kind: 'tool_call';
  /** At least one. */
  readonly functions: readonly Pick<FunctionSpec, 'name' | 'parameters'>[];
  /** What the answer may be instead of a call; absent: nothing. */
  readonly otherwise?: JsonConstraint;
}

/** What the text of an answer must be; the pool compiles it (shared/constrained/compile-schema.ts), the gateway has checked it. */
export type Constraint = JsonConstraint | CallConstraint;

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
  /**
   * Unix time in milliseconds, by the gateway's clock, with which those of hosts are to agree, after which nobody wants the answer
   * any more; absent where the client set none.
   */
  readonly deadlineAtMs?: number;
  /** True where nobody waits for the answer, as for a line of a batch: others go before it at every step. */
  readonly isDeferrable?: boolean;
  /** W3C `traceparent` of the request's span; absent where the request is not traced. */
  readonly trace?: string;
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
