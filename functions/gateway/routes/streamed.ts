import type { Context } from 'hono';
import type { AnswerEvent } from '../generation/journal.ts';
import { type EventBatches, SSE_HEADERS, type SseOptions, sseBody } from '../sse.ts';

/** Waits until a pool has taken the request: what comes first decides the status. */
async function firstEvents(batches: EventBatches): Promise<readonly AnswerEvent[]> {
  for (let next = await batches.next(); !next.done; next = await batches.next()) {
    if (next.value.length > 0) return next.value;
  }
  return [];
}

/**
 * Answers with a stream, once it is known that there will be one.
 *
 * @param signal aborts the stream
 * @throws what reading the first events throws
 */
export async function streamed(
  c: Context,
  batches: EventBatches,
  signal: AbortSignal,
  options: SseOptions,
): Promise<Response> {
  const first = await firstEvents(batches);
  return c.body(sseBody(first, batches, signal, options), 200, SSE_HEADERS);
}
