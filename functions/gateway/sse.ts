import { ClientGoneError, toRequestError } from './errors.ts';
import type { AnswerEvent, JournalReader } from './generation/journal.ts';
import type { AnswerFormat } from './responses/format.ts';

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
}

/** Events of one request, the events of one read at a time. */
export type EventBatches = AsyncGenerator<readonly AnswerEvent[], void, undefined>;

/**
 * The text of a stream, one piece per batch of events so that one read of Redis is one write to the client. A failure
 * becomes a last `error` object: the status line has long been sent.
 */
async function* sseTexts(
  first: readonly AnswerEvent[],
  rest: EventBatches,
  { journal, format, report }: SseOptions,
): AsyncGenerator<string, void, undefined> {
  const sse = format.wire === 'bare' ? bare : named;
  const textOf = (events: readonly AnswerEvent[]): string => events.flatMap(format.chunks).map(sse).join('');
  try {
    let text = textOf(first);
    while (!journal.done()) {
      if (text !== '') yield text;
      const { done, value } = await rest.next();
      if (done) return;
      text = value.length === 0 ? KEEP_ALIVE : textOf(value);
    }
    const last = format.lastChunks(journal.usage()).map(sse).join('');
    yield text + last + (format.wire === 'bare' ? DONE : '');
  } catch (error) {
    if (error instanceof ClientGoneError) return;
    yield sse(format.failureChunk(toRequestError(error, report).failure));
  }
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
  const texts = sseTexts(first, rest, options);
  let pulling = false;
  let onAbort = () => {};

  const end = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    await texts.return();
    // Returning the texts ends the events only where the texts had begun.
    await rest.return();
  };

  return new ReadableStream<Uint8Array>({
    start(controller) {
      onAbort = () => {
        // A pull under way learns of the abort by itself, and may still tell the client why.
        if (pulling) return;
        if (signal.reason instanceof ClientGoneError) controller.close();
        else controller.error(signal.reason);
        end().catch(options.report);
      };
      signal.addEventListener('abort', onAbort, { once: true });
    },
    async pull(controller) {
      pulling = true;
      const { done, value } = await texts.next();
      pulling = false;
      if (done) {
        await end();
        controller.close();
      } else {
        controller.enqueue(encoder.encode(value));
      }
    },
    cancel: end,
  });
}
