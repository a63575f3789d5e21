import { Template } from '@huggingface/jinja';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ChatMessage, FunctionTool } from '../../shared/protocol/request.ts';
import { spellTools } from './spelled-tools.ts';

export interface RenderOptions {
  /** True: the text ends with the beginning of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
  /** What the model may call. Default: nothing. */
  readonly tools?: readonly FunctionTool[];
}

/** The Jinja template by which a model folder turns a conversation into one text. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #source: string;
  readonly #specialTokens: Readonly<Record<string, string>>;
  readonly #knowsTools: boolean;

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
    this.#knowsTools = /\btools\b/.test(template);
  }

  /** @throws JanusError with the template's own words if it raises an exception, as it may for a role it does not know */
  render(messages: readonly ChatMessage[], { addGenerationPrompt, tools = [] }: RenderOptions): string {
    try {
      return this.#template.render({
        ...this.#specialTokens,
        messages: this.#knowsTools ? messages : spellTools(messages, tools),
        ...(this.#knowsTools && tools.length > 0 && { tools }),
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
