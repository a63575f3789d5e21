/** What decoding needs of a tokenizer. */
export interface TokenText {
  /** The exact bytes of one token; empty for an id without a token. */
  tokenBytes(id: number): Uint8Array<ArrayBuffer>;
  /** Special tokens steer the model and are no part of the text. */
  isSpecial(id: number): boolean;
}

/**
 * Turns the tokens of one answer into text as they come. A character whose bytes are spread over several tokens appears
 * with the last of them, so that neither half a character nor a premature U+FFFD is ever emitted. The pushed texts and the
 * flushed one together are exactly what decoding all tokens at once gives. The work per token depends on its own length only.
 */
export class IncrementalDetokenizer {
  readonly #tokens: TokenText;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokens: TokenText) {
    this.#tokens = tokens;
  }

  /** The text that has become certain with this token; `''` for a special token. */
  push(id: number): string {
    if (this.#tokens.isSpecial(id)) return '';
    return this.#decoder.decode(this.#tokens.tokenBytes(id), { stream: true });
  }

  /** The end of the answer: U+FFFD if a character has remained incomplete, else `''`. */
  flush(): string {
    return this.#decoder.decode();
  }
}
