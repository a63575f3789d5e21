const specialTokens = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'];

/**
 * The 256 characters that stand for bytes in byte-level BPE (GPT-2's `bytes_to_unicode`): printable bytes stand for
 * themselves, the others for the characters from U+0100 on.
 */
function byteCharacters(): string[] {
  let next = 0x100;
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/** A byte-level BPE `tokenizer.json` without merges: token id = byte, then the special tokens from id 256 on. */
export const tinyTokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: specialTokens.map((content, i) => ({
    id: 256 + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    unk_token: null,
    vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])),
    merges: [] as string[],
  },
};

/** ChatML. */
export const tinyTokenizerConfig = {
  eos_token: '<|im_end|>',
  clean_up_tokenization_spaces: false,
  chat_template:
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
};
