/** Log probability of one token, of the model's own distribution before penalties and temperature. */
export interface TokenLogprob {
  readonly id: number;
  /** The token as text; half a UTF-8 character shows as U+FFFD, `bytes` holds it exactly. */
  readonly token: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** An error on its way to the client, already in the terms of OpenAI's error object. */
export interface RequestFailure {
  readonly status: number;
  /** OpenAI's error type: `invalid_request_error`, `server_error`, … */
  readonly type: string;
  readonly code: string | null;
  /** The request's field that is wrong, where one is. */
  readonly param: string | null;
  readonly message: string;
}

/**
 * One entry of a request's token stream, which is delivery and journal in one: the ids of a choice's `token` events,
 * in order, are exactly what was generated. Entries are JSON in the field `event` (see keys.ts).
 */
export type TokenEvent =
  /** The sequence holds a KV slot; from here on only `failed` can turn the request into an error. */
  | { readonly kind: 'started'; readonly choice: number; readonly promptTokens: number }
  | {
      readonly kind: 'token';
      readonly choice: number;
      /** 0 for the first answer token. */
      readonly position: number;
      readonly id: number;
      /** Text that became certain with this token; '' while a character or a stop text may still be incomplete. */
      readonly text: string;
      readonly logprob?: TokenLogprob & { readonly top: readonly TokenLogprob[] };
    }
  | {
      readonly kind: 'finished';
      readonly choice: number;
      readonly reason: 'stop' | 'length' | 'cancelled';
      /** Text that was held back until the end was known. */
      readonly text: string;
      readonly promptTokens: number;
      /** Prompt tokens that were not computed, but kept from earlier sequences; of a retried job, in its last attempt. */
      readonly cachedTokens: number;
      readonly completionTokens: number;
    }
  | { readonly kind: 'failed'; readonly choice: number; readonly error: RequestFailure };
