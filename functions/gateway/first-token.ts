import { sequencesBefore } from '../../shared/admission/fair-priority.ts';
import { type FirstTokenPrediction, predictFirstToken } from '../../shared/admission/predict-first-token.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { ModelLoad } from '../dispatcher/load-reader.ts';
import type { InteractivePlace } from '../dispatcher/queue.ts';
import { formatDuration } from './access/rate-headers.ts';
import { RequestError, unavailable } from './errors.ts';
import { REQUEST_TIMEOUT_HEADER } from './request-timeout.ts';

const MS_PER_S = 1_000;
/** Longest time after which a client is told to try again, in seconds: loads change. */
const MOST_RETRY_AFTER_S = 600;

/** A request that is about to be queued. */
export interface FirstTokenQuestion {
  readonly model: string;
  readonly place: InteractivePlace;
  /** Of the prompt that comes first. */
  readonly promptTokens: number;
  readonly sequences: number;
  /** How long the client allows the whole request to take, in milliseconds; null: it does not say. */
  readonly timeoutMs: number | null;
}

/** @param backlog sequences of the same owner that count as waiting; default: those that do */
function predict(
  load: ModelLoad,
  { place, promptTokens }: FirstTokenQuestion,
  backlog?: number,
): FirstTokenPrediction | null {
  if (load.pace === null) return null;
  const inLevel = sequencesBefore(load.backlogs, place.owner ?? '', backlog);
  const { heldSequences } = load;
  const arrival = { promptTokens, heldSequences, sequencesBefore: load.earlierSequences + inLevel };
  return predictFirstToken(load.pace, arrival);
}

const duration = (ms: number): string => formatDuration(Math.ceil(ms));

/** Refuses a request whose first token is predicted too late. @param limitMs what the gateway allows */
function check(
  predicted: FirstTokenPrediction,
  withoutOwn: FirstTokenPrediction | null,
  limitMs: number,
  { place, timeoutMs }: FirstTokenQuestion,
): void {
  const { queueMs, promptsBeforeMs, promptMs, firstTokenMs } = predicted;
  const isClients = timeoutMs !== null && firstTokenMs > timeoutMs;
  // Where nobody is before it, a request would be refused however often it is tried.
  const isGateways = firstTokenMs > limitMs && queueMs + promptsBeforeMs > 0;
  if (!isClients && !isGateways) return;

  const allowedMs = isClients ? timeoutMs : limitMs;
  const lateS = Math.ceil((firstTokenMs - allowedMs) / MS_PER_S);
  const retryAfterS = Math.min(MOST_RETRY_AFTER_S, Math.max(1, lateS));
  const message =
    `The first token is predicted in ${duration(firstTokenMs)} (${duration(queueMs)} in the queue, ` +
    `${duration(promptsBeforeMs)} for prompts before it, ${duration(promptMs)} for its own), but ` +
    `${isClients ? REQUEST_TIMEOUT_HEADER : 'this gateway'} allows ${duration(allowedMs)}; try again in ${retryAfterS}s`;
  const isOwn = place.owner !== null && withoutOwn !== null && withoutOwn.firstTokenMs <= limitMs;
  if (isClients || !isOwn) throw unavailable('overloaded', message, retryAfterS);
  const failure = { status: 429, type: 'requests', code: 'rate_limit_exceeded', param: null };
  throw new RequestError(
    { ...failure, message: `Too many requests of API key ${place.owner} wait. ${message}` },
    retryAfterS,
  );
}

/**
 * Predicts when a request has its first token, and counts it among those that wait. Where neither the gateway nor the client
 * bounds that time, nothing is asked.
 *
 * @param limitMs longest time that the gateway allows
 * @returns null where nothing can be predicted, or nobody asks
 * @throws {RequestError} when that is too late: 429 where the other requests of its own key are to blame, else 503
 * @throws {DispatchError} `broker`
 */
export async function expectFirstToken(
  dispatcher: Pick<Dispatcher, 'load'>,
  limitMs: number,
  question: FirstTokenQuestion,
): Promise<FirstTokenPrediction | null> {
  const { model, place, sequences, timeoutMs } = question;
  if (timeoutMs === null && limitMs === Number.POSITIVE_INFINITY) return null;
  const load = await dispatcher.load(model, place.level);
  const predicted = predict(load, question);
  if (predicted !== null) check(predicted, predict(load, question, 0), limitMs, question);
  load.join(place.owner ?? '', sequences);
  return predicted;
}
