import { createChatFormat } from './chat.ts';
import { createCompletionFormat } from './completions.ts';
import type { AnswerFormat, AnswerHead } from './format.ts';
import { createResponsesFormat } from './responses.ts';

const FORMATS = {
  chat: createChatFormat,
  completion: createCompletionFormat,
  response: createResponsesFormat,
} satisfies Record<string, (head: AnswerHead) => AnswerFormat>;

/** A kind of answer, by the API that gives it. */
export type AnswerKind = keyof typeof FORMATS;

export const createFormat = (kind: AnswerKind, head: AnswerHead): AnswerFormat => FORMATS[kind](head);
