import type { Tokenizer } from '@huggingface/tokenizers';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ChatMessage } from '../../shared/protocol/request.ts';
import type { ChatTemplate, RenderOptions } from './chat-template.ts';
import { IncrementalDetokenizer, type TokenText } from './incremental-detokenizer.ts';
import { TokenBytes } from './token-bytes.ts';
import type { Vocabulary } from './tokenizer-files.ts';

export interface EncodeOptions {
  /**
   * True: the tokens that the tokenizer puts around a bare text, such as a beginning-of-sequence token, are added.
   * False, the default, is right for rendered chats, whose template writes them.
   */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** True, the default: special tokens are no part of the text. */
  readonly skipSpecialTokens?: boolean;
}

/** The tokenizer of one model: text to token ids and back, and conversations to text. `loadTokenizer` makes it. */
export class ModelTokenizer implements TokenText {
  /** One more than the largest token id. The model's embedding table may have more rows, for padding. */
  readonly vocabularySize: number;
  readonly #library: Tokenizer;
  readonly #specialIds: ReadonlySet<number>;
  readonly #bytes: TokenBytes;
  readonly #chatTemplate: ChatTemplate | null;

  constructor(library: Tokenizer, vocabulary: Vocabulary, chatTemplate: ChatTemplate | null) {
    this.vocabularySize = vocabulary.tokens.length;
    this.#library = library;
    this.#specialIds = vocabulary.specialIds;
    this.#bytes = new TokenBytes(vocabulary.tokens, vocabulary.addedIds);
    this.#chatTemplate = chatTemplate;
  }

  /**
   * Token ids of a text. As with Hugging Face, special tokens written out in the text are taken for what they are.
   *
   * @throws JanusError if the text is not valid Unicode
   */
  encode(text: string, { addSpecialTokens = false }: EncodeOptions = {}): number[] {
    if (!text.isWellFormed()) {
      const position = text.search(/\p{Surrogate}/u);
      throw new JanusError(
        `the text has half a surrogate pair at position ${position}: send valid Unicode, characters are not to be cut`,
      );
    }
    return this.#library.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  }

  /** Text of token ids; bytes that are no UTF-8 show as U+FFFD. Spaces are left as they are, whatever the config says. */
  decode(ids: readonly number[], { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const everything: TokenText = { tokenBytes: (id) => this.tokenBytes(id), isSpecial: () => false };
    const detokenizer = new IncrementalDetokenizer(skipSpecialTokens ? this : everything);
    return ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
  }

  /** Each token as the vocabulary spells it; '' for an id without a token. */
  tokenTexts(ids: readonly number[]): string[] {
    return ids.map((id) => this.#library.id_to_token(id) ?? '');
  }

  /** The exact bytes of one token, special or not, as a view; empty for an id without a token. Do not write to it. */
  tokenBytes(id: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.of(id);
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /**
   * The text that the model continues with its answer to a conversation.
   *
   * @throws JanusError if the model has no chat template, or the template refuses the messages
   */
  renderChat(messages: readonly ChatMessage[], options: RenderOptions): string {
    if (this.#chatTemplate === null) {
      throw new JanusError(
        'the model has no chat template, neither in chat_template.jinja nor a default one in tokenizer_config.json: ' +
          'send a text prompt instead of messages',
      );
    }
    return this.#chatTemplate.render(messages, options);
  }
}
