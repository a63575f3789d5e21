import { Template } from '@huggingface/jinja';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ChatMessage } from '../../shared/protocol/request.ts';

export interface RenderOptions {
  /** True: the text ends with the beginning of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
}

/** The Jinja template by which a model folder turns a conversation into one text. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #source: string;
  readonly #specialTokens: Readonly<Record<string, string>>;

  /**
   * @param template Jinja text
   * @param source name of the file that it came from
   * @param specialTokens `bos_token`, `eos_token` and so on, as the template may name them
   * @throws JanusError that names the file if the template is not valid Jinja
   */
  constructor(template: string, source: string, specialTokens: Readonly<Record<string, string>>) {
    try {
      this.#template = new Template(template);
    } catch (cause) {
      throw new JanusError(`${source}: the chat template is not valid Jinja: ${(cause as Error).message}`, {
        cause,
      });
    }
    this.#source = source;
    this.#specialTokens = specialTokens;
  }

  /** @throws JanusError with the template's own words if it raises an exception, as it may for a role it does not know */
  render(messages: readonly ChatMessage[], { addGenerationPrompt }: RenderOptions): string {
    try {
      return this.#template.render({
        ...this.#specialTokens,
        messages,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (cause) {
      throw new JanusError(
        `messages cannot be rendered by the chat template of ${this.#source}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}
