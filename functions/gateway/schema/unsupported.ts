import { invalid, type RequestError } from '../errors.ts';

type Body = Readonly<Record<string, unknown>>;

const hasElements = (value: unknown): boolean => !Array.isArray(value) || value.length > 0;
const listsAudio = (value: unknown): boolean => Array.isArray(value) && value.includes('audio');
const asksForTools = (value: unknown): boolean => value !== 'none' && value !== 'auto';

/** A field, when its value asks for something, and what to tell of that. */
export type Unsupported = readonly [field: string, asks: (value: unknown) => boolean, what: string];

/**
 * Fields that OpenAI's libraries send and that would change the answer. Ignoring them would give a wrong answer, so
 * they are refused; each entry tells when its value asks for something.
 */
const UNSUPPORTED: readonly Unsupported[] = [
  ['functions', hasElements, 'functions are not supported: use tools'],
  ['function_call', asksForTools, 'functions are not supported: use tool_choice'],
  ['audio', () => true, 'audio is not supported: only text is'],
  ['modalities', listsAudio, 'audio is not supported: only text is'],
  ['suffix', (value) => value !== '', 'inserting before a suffix is not supported'],
  ['echo', (value) => value !== false, 'repeating the prompt is not supported'],
  ['best_of', (value) => value !== 1, 'only 1 is supported: use n for several choices'],
];

/** Fields of chats that text completions do not have. */
export const NO_TOOLS: readonly Unsupported[] = [
  ['tools', hasElements, 'only chat completions and responses call tools'],
  ['tool_choice', asksForTools, 'only chat completions and responses call tools'],
];

/**
 * @param more fields of this kind of request alone
 * @returns the error to answer with, when the body asks for what Janus does not do; its nulls must be gone
 */
export function unsupportedField(body: Body, more: readonly Unsupported[] = []): RequestError | undefined {
  for (const [field, asks, what] of [...UNSUPPORTED, ...more]) {
    if (Object.hasOwn(body, field) && asks(body[field])) {
      return invalid(field, `Unsupported '${field}': ${what}`, 'unsupported_parameter');
    }
  }
  return undefined;
}
