import type { AnswerEvent } from '../generation/journal.ts';
import type { AnswerHead } from './format.ts';
import { ToolCallParser } from './tool-call-parser.ts';
import type { WrittenCall } from './written-call.ts';

/** A call of an answer. */
export interface AnsweredCall extends WrittenCall {
  /** Position among the calls of its choice. */
  readonly index: number;
  /** Unique among all requests, and the same however often the answer is put together. */
  readonly id: string;
}

/** A piece of one choice, as it is told to the client. */
export type ToldPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'call'; readonly call: AnsweredCall };

/** One choice as it is put together. */
interface Choice {
  readonly parser: ToolCallParser;
  calls: number;
}

/** Tells content and calls in the answers of one request apart. Where nothing may be called all text is content. */
export class AnswerParts {
  readonly #requestId: string;
  /** Of the choices; null where nothing may be called. */
  readonly #choices: readonly Choice[] | null;

  constructor({ requestId, choices, callable }: Pick<AnswerHead, 'requestId' | 'choices' | 'callable'>) {
    this.#requestId = requestId;
    this.#choices =
      callable.length === 0
        ? null
        : Array.from({ length: choices }, () => ({ parser: new ToolCallParser(callable), calls: 0 }));
  }

  /** Whether the answers may hold calls. */
  get maySplit(): boolean {
    return this.#choices !== null;
  }

  /** @returns what has become certain with an event; each event is to be given once, in order */
  of(event: AnswerEvent): readonly ToldPart[] {
    if (event.kind === 'started') return [];
    if (this.#choices === null) return event.text === '' ? [] : [{ kind: 'text', text: event.text }];
    const choice = this.#choices[event.choice];
    const parts = choice.parser.push(event.text);
    if (event.kind === 'finished') parts.push(...choice.parser.end());
    return parts.map((part) => {
      if (part.kind === 'text') return part;
      const index = choice.calls++;
      const id = `call_${this.#requestId}_${event.choice}_${index}`;
      return { kind: 'call', call: { index, id, name: part.name, arguments: part.arguments } };
    });
  }

  /** Why a choice ended, in the words of a chat completion, once all of its events were given. */
  finishReason(choice: number, reason: string): string {
    const isCalling = (this.#choices?.[choice].calls ?? 0) > 0;
    return isCalling && reason === 'stop' ? 'tool_calls' : reason;
  }
}
