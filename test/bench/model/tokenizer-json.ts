/** Every ASCII character is a token, with its code as id. */
export const ASCII_TOKENS = 128;
/** They take the last ids of the vocabulary. */
export const SPECIAL_TOKENS = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'] as const;

const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aeiou';
const SYLLABLES = CONSONANTS.length * VOWELS.length;
const SYLLABLES_PER_WORD = 3;
export const MOST_WORDS = SYLLABLES ** SYLLABLES_PER_WORD;
/** A blank as byte-level vocabularies spell it. */
const BLANK = 'Ġ';

/** The character that stands for an ASCII byte in byte-level BPE (GPT-2's `bytes_to_unicode`). */
function byteCharacter(byte: number): string {
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return String.fromCharCode(0x100 + (byte === 0x7f ? 0x21 : byte));
}

/** Shares no factor with the number of words that there can be, so that each index gives another word. */
const WORD_STRIDE = 321_127;

/** A word of its own for each index: a blank and three syllables. */
function word(index: number): string {
  let rest = (index * WORD_STRIDE) % MOST_WORDS;
  let text = '';
  for (let i = 0; i < SYLLABLES_PER_WORD; i++) {
    const syllable = rest % SYLLABLES;
    rest = Math.floor(rest / SYLLABLES);
    text = CONSONANTS[Math.floor(syllable / VOWELS.length)]! + VOWELS[syllable % VOWELS.length] + text;
  }
  return BLANK + text;
}

/**
 * Token texts by id, as `tokenizer.json` spells them: ASCII characters, words, special tokens. All but the special ones are
 * whole characters, so that every sampled token shows as a piece of text of its own.
 */
export function vocabulary(size: number): string[] {
  const words = size - ASCII_TOKENS - SPECIAL_TOKENS.length;
  return [
    ...Array.from({ length: ASCII_TOKENS }, (_, byte) => byteCharacter(byte)),
    ...Array.from({ length: words }, (_, index) => word(index)),
    ...SPECIAL_TOKENS,
  ];
}

/** Content of `tokenizer.json`: byte-level BPE without merges. Texts become characters; words come from the model only. */
export function tokenizerJson(vocabularySize: number): Record<string, unknown> {
  const tokens = vocabulary(vocabularySize);
  const firstSpecial = vocabularySize - SPECIAL_TOKENS.length;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, i) => ({
      id: firstSpecial + i,
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
      vocab: Object.fromEntries(tokens.slice(0, firstSpecial).map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** Content of `tokenizer_config.json`, with a chat template in the manner of ChatML. */
export const tokenizerConfigJson = (contextLength: number): Record<string, unknown> => ({
  tokenizer_class: 'PreTrainedTokenizerFast',
  model_max_length: contextLength,
  eos_token: '<|im_end|>',
  pad_token: '<|endoftext|>',
  clean_up_tokenization_spaces: false,
  chat_template:
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
});
