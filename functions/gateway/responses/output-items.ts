import type { AnswerEvent } from '../generation/journal.ts';
import { type AnsweredCall, AnswerParts } from './answer-parts.ts';
import type { AnswerHead } from './format.ts';
import { chatLogprob } from './logprobs.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** An event of a stream, but for its number. */
export interface StreamEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The message that is being told: it has one part. */
class OpenMessage {
  readonly id: string;
  /** Position among the items. */
  readonly index: number;
  #text = '';
  readonly #logprobs: object[] = [];

  constructor(requestId: string, index: number) {
    this.id = index === 0 ? `msg_${requestId}` : `msg_${requestId}_${index}`;
    this.index = index;
  }

  add(text: string, logprobs: readonly object[]): void {
    this.#text += text;
    this.#logprobs.push(...logprobs);
  }

  /** Which part of the answer an event tells of. */
  get at() {
    return { item_id: this.id, output_index: this.index, content_index: 0 };
  }

  get told() {
    return { text: this.#text, logprobs: [...this.#logprobs] };
  }

  get part() {
    return { type: 'output_text', annotations: [], ...this.told };
  }

  item(status: ItemStatus, content: readonly object[]) {
    return { id: this.id, type: 'message', status, role: 'assistant', content };
  }
}

/** Puts one answer into the items of a response: messages, and calls of functions. Each method gives the events that tell of it. */
export class OutputItems {
  readonly #requestId: string;
  readonly #parts: AnswerParts;
  readonly #whole: object[] = [];
  #open: OpenMessage | null = null;
  /** Of tokens whose text is held back, as it may be a call's: only text has log probabilities. */
  #logprobs: object[] = [];

  constructor(head: AnswerHead) {
    this.#requestId = head.requestId;
    this.#parts = new AnswerParts(head);
  }

  /** The items that are whole. */
  get whole(): readonly object[] {
    return [...this.#whole];
  }

  /** Where nothing may be called the answer is a message, and can begin before there is any text. */
  begin(): StreamEvent[] {
    return this.#parts.maySplit ? [] : this.#openMessage();
  }

  add(event: AnswerEvent): StreamEvent[] {
    const logprob = chatLogprob(event);
    if (logprob !== undefined) this.#logprobs.push(logprob);
    const parts = this.#parts.of(event);
    if (parts.length === 0 && logprob !== undefined && !this.#parts.maySplit) return this.#addText('');
    return parts.flatMap((part) =>
      part.kind === 'text' ? this.#addText(part.text) : this.#addCall(part.call),
    );
  }

  /** To be called once, behind the last event. An answer without anything is an empty message. */
  end(status: ItemStatus): StreamEvent[] {
    const begun = this.#open === null && this.#whole.length === 0 ? this.#openMessage() : [];
    return [...begun, ...this.#closeMessage(status)];
  }

  #openMessage(): StreamEvent[] {
    const message = new OpenMessage(this.#requestId, this.#whole.length);
    this.#open = message;
    const item = message.item('in_progress', []);
    return [
      { type: 'response.output_item.added', output_index: message.index, item },
      { type: 'response.content_part.added', ...message.at, part: message.part },
    ];
  }

  #addText(delta: string): StreamEvent[] {
    const begun = this.#open === null ? this.#openMessage() : [];
    const message = this.#open!;
    const logprobs = this.#logprobs;
    this.#logprobs = [];
    message.add(delta, logprobs);
    return [...begun, { type: 'response.output_text.delta', ...message.at, delta, logprobs }];
  }

  #closeMessage(status: ItemStatus): StreamEvent[] {
    const message = this.#open;
    if (message === null) return [];
    message.add('', this.#logprobs);
    const item = message.item(status, [message.part]);
    this.#whole.push(item);
    this.#open = null;
    return [
      { type: 'response.output_text.done', ...message.at, ...message.told },
      { type: 'response.content_part.done', ...message.at, part: message.part },
      { type: 'response.output_item.done', output_index: message.index, item },
    ];
  }

  #addCall({ index, id, name, arguments: written }: AnsweredCall): StreamEvent[] {
    this.#logprobs = [];
    const closed = this.#closeMessage('completed');
    const at = { output_index: this.#whole.length };
    const callItem = (status: ItemStatus, args: string) => ({
      id: `fc_${this.#requestId}_${index}`,
      type: 'function_call',
      status,
      call_id: id,
      name,
      arguments: args,
    });
    const begun = callItem('in_progress', '');
    const item = callItem('completed', written);
    this.#whole.push(item);
    return [
      ...closed,
      { type: 'response.output_item.added', ...at, item: begun },
      { type: 'response.function_call_arguments.delta', item_id: item.id, ...at, delta: written },
      { type: 'response.function_call_arguments.done', item_id: item.id, ...at, name, arguments: written },
      { type: 'response.output_item.done', ...at, item },
    ];
  }
}
