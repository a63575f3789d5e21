import { z } from 'zod';
import { isDeeperThan } from '../../../shared/constrained/schema/schema-size.ts';
import type { ToolCall } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { MAX_ARGUMENT_LEVELS } from './field-limits.ts';
import { unicodeText } from './fields.ts';

type Arguments = ToolCall['function']['arguments'];

export const callId = unicodeText.min(1, 'must not be empty');

/** The arguments of a call: JSON in a text. Models leave them empty where a function has none. */
export const callArguments = z.string().transform((text, context): Arguments => {
  const refuse = (message: string): never => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('must be JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('must be a JSON object');
  }
  if (isDeeperThan(value, MAX_ARGUMENT_LEVELS)) {
    return refuse(`must have at most ${MAX_ARGUMENT_LEVELS} objects and lists inside each other`);
  }
  return value as Arguments;
});

/** The calls of a conversation, as far as it was read. */
export class CalledFunctions {
  readonly #names = new Map<string, string>();

  note(call: ToolCall): void {
    this.#names.set(call.id, call.function.name);
  }

  /**
   * @param param the field that holds the id
   * @returns name of the function that was called
   * @throws {RequestError} 400 where no call before has this id
   */
  nameOf(id: string, param: string): string {
    const name = this.#names.get(id);
    if (name === undefined) throw invalid(param, `Invalid '${param}': no tool call before it has this id`);
    return name;
  }
}
