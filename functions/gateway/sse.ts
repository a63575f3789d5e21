import { ClientGoneError, toRequestError } from './errors.ts';
import type { AnswerEvent, JournalReader } from './generation/journal.ts';
import type { AnswerFormat } from './responses/format.ts';
import { type MessageId, messageId } from './resumption/message-id.ts';

export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache',
  // nginx would otherwise hold tokens back.
  'X-Accel-Buffering': 'no',
};

/** A comment, which clients skip. Where a hang-up shows only at a write, it is what brings it to light. */
const KEEP_ALIVE = ': waiting\n\n';
const DONE = 'data: [DONE]\n\n';

const bare = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const named = (data: object): string => `event: ${(data as { type: string }).type}\n${bare(data)}`;

export interface SseOptions {
  readonly journal: JournalReader;
  readonly format: AnswerFormat;
  readonly report: (error: unknown) => void;
  /** Of a resumable answer, what the client has of it already; absent where messages are to have no ids. */
  readonly has?: MessageId | undefined;
}

/** Gives messages their ids, and leaves out those that the client has. */
function numbered({ requestId, messages }: MessageId): (message: string) => string {
  let made = 0;
  return (message) => {
    made += 1;
    return made <= messages ? '' : `id: ${messageId({ requestId, messages: made })}\n${message}`;
  };
}

/** Events of one request, the events of one read at a time. */
export type EventBatches = AsyncGenerator<readonly AnswerEvent[], void, undefined>;

/** @returns the next piece of text of a stream; null at its end */
type NextText = () => Promise<string | null>;

/**
 * The text of a stream, one piece per batch of events so that one read of Redis is one write to the client. A failure
 * becomes a last `error` object: the status line has long been sent.
 */
function sseTexts(
  first: readonly AnswerEvent[],
  rest: EventBatches,
  { journal, format, report, has }: SseOptions,
): NextText {
  const write = format.wire === 'bare' ? bare : named;
  const number = has && numbered(has);
  const sse = number === undefined ? write : (data: object) => number(write(data));
  const textOf = (events: readonly AnswerEvent[]): string => {
    let text = '';
    for (const event of events) for (const chunk of format.chunks(event)) text += sse(chunk);
    return text;
  };
  const lastText = (): string => {
    const last = format.lastChunks(journal.usage()).map(sse).join('');
    const end = format.wire === 'bare' ? DONE : '';
    return last + (number === undefined || end === '' ? end : number(end));
  };
  let unread: readonly AnswerEvent[] | null = first;
  let isOver = false;

  const next: NextText = async () => {
    let text = unread === null ? '' : textOf(unread);
    unread = null;
    while (!journal.done()) {
      if (text !== '') return text;
      const { done, value } = await rest.next();
      if (done) {
        isOver = true;
        return null;
      }
      text = value.length === 0 ? KEEP_ALIVE : textOf(value);
    }
    isOver = true;
    return text + lastText();
  };
  return async () => {
    if (isOver) return null;
    try {
      return await next();
    } catch (error) {
      isOver = true;
      if (error instanceof ClientGoneError) return null;
      return write(format.failureChunk(toRequestError(error, report).failure));
    }
  };
}

/**
 * A response body that asks for events only as fast as the client takes them.
 *
 * @param first events that were read before the answer could begin
 * @param rest all further ones; run to the end, or returned when the client goes
 * @param signal aborts the stream, also while the client takes nothing
 */
export function sseBody(
  first: readonly AnswerEvent[],
  rest: EventBatches,
  signal: AbortSignal,
  options: SseOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const nextText = sseTexts(first, rest, options);
  let pulling = false;
  let isOver = false;
  let isAborted = false;
  let onAbort = () => {};

  const end = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    await rest.return();
  };
  const finish = (controller: ReadableStreamDefaultController): void => {
    if (isOver) return;
    isOver = true;
    if (isAborted && !(signal.reason instanceof ClientGoneError)) controller.error(signal.reason);
    else controller.close();
  };

  return new ReadableStream<Uint8Array>({
    start(controller) {
      onAbort = () => {
        // A pull under way learns of the abort by itself, and may still tell the client why.
        if (pulling) return;
        isAborted = true;
        // Not before the request is cancelled: a Worker closes its connections at the body's end.
        end()
          .catch(options.report)
          .finally(() => finish(controller));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    },
    async pull(controller) {
      pulling = true;
      const text = await nextText();
      pulling = false;
      if (text === null) {
        await end();
        finish(controller);
      } else {
        controller.enqueue(encoder.encode(text));
      }
    },
    cancel() {
      isOver = true;
      return end();
    },
  });
}
