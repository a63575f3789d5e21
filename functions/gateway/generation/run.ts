import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import type { QueuePlace } from '../../dispatcher/queue.ts';
import type { ReadTimeouts } from '../../dispatcher/read-events.ts';
import type { Slot } from '../admission.ts';
import { ClientGoneError, poolFailure } from '../errors.ts';
import type { AnswerHold } from '../resumption/resumptions.ts';
import type { AnswerEvent, JournalReader } from './journal.ts';

/** Told how a generation goes. */
export interface GenerationObserver {
  /** Takes the events of one read; no event is told twice. */
  readonly take: (events: readonly AnswerEvent[]) => void;
  /** Called once, at the end. @param error what ended the generation before its time; null when nothing did */
  readonly ended: (error: unknown) => void;
}

export interface ReadDependencies {
  readonly dispatcher: Dispatcher;
  readonly timeouts: ReadTimeouts;
  readonly report: (error: unknown) => void;
  readonly observer: GenerationObserver;
  /** Decides what becomes of an answer that is not read to its end. Absent: the request is cancelled. */
  readonly hold?: AnswerHold | undefined;
  /** Called once, at the end: settles what the request was charged. */
  readonly settle?: (() => Promise<void>) | undefined;
  /** Absent: what a request ended with speaks for itself. */
  readonly explain?: Explain;
}

export interface RunDependencies extends ReadDependencies {
  readonly place: QueuePlace;
}

/** Thrown in the place of what a request ended with before anything was told of it. */
export type Explain = (error: unknown) => Promise<unknown>;

/** A request under way, and the channel on which readers beside the first are told of its events. */
export type RunningRequest = Pick<SequenceJob, 'requestId' | 'model' | 'doorbell'>;

/** Carries one admitted request from its dispatch to its last event, as `followRequest` does. */
export const runRequest = (
  { place, ...dependencies }: RunDependencies,
  jobs: readonly SequenceJob[],
  journal: JournalReader,
  slot: Slot,
): AsyncGenerator<readonly AnswerEvent[], void, undefined> =>
  followRequest(dependencies, jobs[0], journal, slot, () => dependencies.dispatcher.dispatch(jobs, place));

/**
 * Reads one admitted request from its first event to its last. Yields the events of one read at a time; an empty
 * array says that nothing came for a while. However it ends other than by itself, the request is cancelled,
 * unless its hold lets it wait for another reader. The consumer must run it to its end or `return()` it, also when the slot's
 * signal aborts while it asks for nothing.
 *
 * @param begin sets the request going, where nobody has
 * @throws {RequestError} when a choice fails
 * @throws {DispatchError} see `Dispatcher`
 * @throws the reason of the slot's signal when it aborts
 */
export async function* followRequest(
  { dispatcher, timeouts, report, observer, hold, settle, explain }: ReadDependencies,
  { requestId, model, doorbell }: RunningRequest,
  journal: JournalReader,
  slot: Slot,
  begin: () => Promise<void> = async () => {},
): AsyncGenerator<readonly AnswerEvent[], void, undefined> {
  const { signal } = slot;
  let error: unknown = null;
  let isTold = false;
  try {
    signal.throwIfAborted();
    await begin();
    for await (const events of dispatcher.readEvents(requestId, { signal, timeouts, doorbell })) {
      const progress = journal.read(events);
      observer.take(progress.events);
      isTold ||= events.length > 0;
      if (progress.events.length > 0 || events.length === 0) yield progress.events;
      if (progress.failure !== null) throw poolFailure(progress.failure);
      if (journal.done()) break;
    }
  } catch (thrown) {
    error = isTold || explain === undefined ? thrown : await explain(thrown);
    throw error;
  } finally {
    // A consumer that returns early does so because its client is gone, or the signal says why.
    const reason = journal.done() ? null : (error ?? signal.reason ?? new ClientGoneError());
    observer.ended(reason);
    if (hold !== undefined) await hold.release(reason).catch(report);
    else if (reason !== null) await dispatcher.cancel(requestId, model).catch(report);
    await settle?.().catch(report);
    slot.leave();
  }
}
