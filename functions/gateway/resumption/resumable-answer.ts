import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { createJournalReader, type JournalReader } from '../generation/journal.ts';
import { type AnswerKind, createFormat } from '../responses/create-format.ts';
import type { AnswerFormat, AnswerHead } from '../responses/format.ts';

/** What it takes, besides its token stream, to write an answer, and to write it again elsewhere. It travels as JSON. */
export interface ResumableAnswer {
  readonly kind: AnswerKind;
  readonly head: AnswerHead;
  readonly choicesPerPrompt: number;
  /** Id of the API key that asked; null where none was needed. */
  readonly owner: string | null;
  /** Unix times in milliseconds: when it was accepted, and when its client's time is over; absent: it set none. */
  readonly acceptedAtMs: number;
  readonly deadlineAtMs?: number;
}

/** Tools to put an answer's events into messages, from its first event on. */
export function toolsFor({ kind, head, choicesPerPrompt }: ResumableAnswer): {
  readonly journal: JournalReader;
  readonly format: AnswerFormat;
} {
  return {
    journal: createJournalReader(head.choices, choicesPerPrompt),
    format: createFormat(kind, head),
  };
}

/** How far an answer's stream has got. */
export interface AnswerState {
  /** Messages that clients may have got by now. */
  readonly messages: number;
  readonly isComplete: boolean;
  readonly isCancelled: boolean;
}

/** @param told its events so far */
export function stateOf(answer: ResumableAnswer, told: readonly TokenEvent[]): AnswerState {
  const { journal, format } = toolsFor(answer);
  const { events, failure } = journal.read(told);
  const isComplete = journal.done();
  let messages = events.flatMap(format.chunks).length;
  if (isComplete) messages += format.lastChunks(journal.usage()).length + (format.wire === 'bare' ? 1 : 0);
  return { messages, isComplete, isCancelled: failure?.code === 'cancelled' };
}
