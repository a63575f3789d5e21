import type { Context } from 'hono';
import { requestDoorbellChannel } from '../../../shared/protocol/keys.ts';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { invalid, type RequestError, shown } from '../errors.ts';
import { followRequest } from '../generation/run.ts';
import type { AnswerKind } from '../responses/create-format.ts';
import { LAST_EVENT_ID, type MessageId, parseMessageId } from '../resumption/message-id.ts';
import { type AnswerState, type ResumableAnswer, stateOf, toolsFor } from '../resumption/resumable-answer.ts';
import type { Resumptions } from '../resumption/resumptions.ts';
import { traceGeneration } from '../tracing/traced-generation.ts';
import { streamed } from './streamed.ts';

const RESUMABLE_HEADER = 'x-resumable';
/** The request that generates the answer tells how that goes. */
const NO_OBSERVER = { take() {}, ended() {} };

/** Whether the client wants to be able to come back to a stream. @throws {RequestError} 400 when the header is wrong */
export function asksForResumption(c: Context): boolean {
  const wish = c.req.header(RESUMABLE_HEADER);
  if (wish === undefined || wish === 'false') return false;
  if (wish === 'true') return true;
  throw invalid(
    RESUMABLE_HEADER,
    `Invalid '${RESUMABLE_HEADER}': '${shown(wish)}' is neither true nor false`,
  );
}

const streamNotFound = (requestId: string): RequestError =>
  invalid(
    null,
    `The stream '${shown(requestId)}' does not exist: it never did, was not resumable, has expired or was cancelled`,
    'stream_not_found',
    404,
  );

/** `GET /streams/:requestId`: goes on with a stream behind what the client has of it, as `EventSource` does by itself. */
export const resume =
  (dependencies: GatewayDependencies) =>
  async (c: Context<GatewayEnvironment>): Promise<Response> => {
    const requestId = c.req.param('requestId')!;
    const lastEventId = c.req.header(LAST_EVENT_ID);
    // Before its first message a browser sends none, or an empty one.
    const has = lastEventId ? parseMessageId(lastEventId) : { requestId, messages: 0 };
    if (has.requestId === requestId) return resumeAfter(c, dependencies, has);
    throw invalid(
      LAST_EVENT_ID,
      `Invalid '${LAST_EVENT_ID}': '${shown(has.requestId)}' is not the stream of this address`,
    );
  };

/**
 * Answers with what follows the messages that a client has.
 *
 * @param kind of answers that the address gives; absent: all
 * @throws {RequestError} 404 where there is no such stream for this client, 400 where it cannot have those messages
 */
export async function resumeAfter(
  c: Context<GatewayEnvironment>,
  dependencies: GatewayDependencies,
  has: MessageId,
  kind?: AnswerKind,
): Promise<Response> {
  const { resumptions, dispatcher, admission, limits, clock } = dependencies;
  const { requestId } = has;
  const answer = await resumptions?.find(requestId);
  if (!resumptions || answer === undefined || !isOf(c, answer)) throw streamNotFound(requestId);
  if (kind !== undefined && kind !== answer.kind) {
    throw invalid(
      LAST_EVENT_ID,
      `Invalid '${LAST_EVENT_ID}': '${shown(requestId)}' came from another address`,
    );
  }
  c.get('watch').asks(answer.head.model);
  const state = await stateNow(dependencies, resumptions, answer);
  if (state === null) throw streamNotFound(requestId);
  if (has.messages > state.messages) {
    throw invalid(
      LAST_EVENT_ID,
      `Invalid '${LAST_EVENT_ID}': of '${shown(requestId)}' there are ${state.messages} messages so far`,
    );
  }
  // What tells an `EventSource` to come back no more.
  if (state.isComplete && has.messages === state.messages) return c.body(null, 204);

  // What is complete may be read though its time is over.
  const timeoutMs = state.isComplete ? null : timeLeftMs(answer, clock.nowMs());
  const slot = admission.enter(c.req.raw.signal, limits.overallMs, timeoutMs);
  const hold = await resumptions.hold(answer).catch((error: unknown) => {
    slot.leave();
    throw error;
  });
  const report = (error: unknown) => dependencies.report(error, c.get('requestId'));
  const { journal, format } = toolsFor(answer);
  const observer = traceGeneration(c.get('span'), clock, NO_OBSERVER);
  const reading = { dispatcher, timeouts: limits, report, observer, hold };
  const running = { requestId, model: answer.head.model, doorbell: requestDoorbellChannel(requestId) };
  const batches = followRequest(reading, running, journal, slot);
  return streamed(c, batches, slot.signal, { journal, format, report, has });
}

/** Until the client's time is over, whoever reads; null where it set none. */
const timeLeftMs = ({ deadlineAtMs }: ResumableAnswer, nowMs: number): number | null =>
  deadlineAtMs === undefined ? null : Math.max(0, deadlineAtMs - nowMs);

/** Whether the sender of a request may read an answer, and at this address. */
function isOf(c: Context<GatewayEnvironment>, { owner, head }: ResumableAnswer): boolean {
  const model = c.req.param('model') ?? head.model;
  return (c.get('accessKey')?.id ?? null) === owner && model === head.model;
}

/** @returns null where the answer was given up, or its token stream has expired */
async function stateNow(
  { dispatcher, clock, limits }: GatewayDependencies,
  resumptions: Resumptions,
  answer: ResumableAnswer,
): Promise<AnswerState | null> {
  const { requestId } = answer.head;
  const told = await dispatcher.told(requestId);
  const state = stateOf(answer, told);
  if (state.isComplete) return state;
  if (state.isCancelled || (await resumptions.isCancelled(requestId))) return null;
  const isWaiting = clock.nowMs() < answer.acceptedAtMs + limits.queueWaitMs;
  return told.length > 0 || isWaiting ? state : null;
}
