/** `bytes_to_unicode` of GPT-2, reversed: the byte that a character of a byte-level vocabulary stands for. */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    map.set(String.fromCharCode(isPrintable ? byte : next++), byte);
  }
  return map;
})();

const encoder = new TextEncoder();

/** The exact bytes of every token, in one buffer. */
export class TokenBytes {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** The bytes of token t are those from `offsets[t]` to `offsets[t + 1]`. */
  readonly #offsets: Uint32Array<ArrayBuffer>;

  /**
   * @param tokens token texts by id, in the characters of byte-level BPE; `undefined` where an id is not used
   * @param added ids whose texts are plain text
   */
  constructor(tokens: readonly (string | undefined)[], added: { has(id: number): boolean }) {
    const parts: Uint8Array[] = [];
    this.#offsets = new Uint32Array(tokens.length + 1);
    for (let id = 0; id < tokens.length; id++) {
      const token = tokens[id] ?? '';
      const part = added.has(id) ? encoder.encode(token) : byteLevelBytes(token);
      parts.push(part);
      this.#offsets[id + 1] = this.#offsets[id] + part.length;
    }
    this.#bytes = new Uint8Array(this.#offsets[tokens.length]);
    parts.forEach((part, id) => {
      this.#bytes.set(part, this.#offsets[id]);
    });
  }

  /** A view of the token's bytes; empty for an id without a token. */
  of(id: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#offsets[id] ?? 0, this.#offsets[id + 1] ?? 0);
  }
}

/** As Hugging Face's ByteLevel decoder, a token with a character that stands for no byte is taken as plain text. */
function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]);
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
