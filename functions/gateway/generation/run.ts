import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import type { ReadTimeouts } from '../../dispatcher/read-events.ts';
import type { Slot } from '../admission.ts';
import { ClientGoneError, poolFailure } from '../errors.ts';
import type { AnswerEvent, JournalReader } from './journal.ts';

/** Told how a generation goes. */
export interface GenerationObserver {
  /** Takes the events of one read; no event is told twice. */
  readonly take: (events: readonly AnswerEvent[]) => void;
  /** Called once, at the end. @param error what ended the generation before its time; null when nothing did */
  readonly ended: (error: unknown) => void;
}

export interface RunDependencies {
  readonly dispatcher: Dispatcher;
  readonly timeouts: ReadTimeouts;
  readonly report: (error: unknown) => void;
  readonly observer: GenerationObserver;
}

/**
 * Carries one admitted request from its dispatch to its last event. Yields the events of one read at a time; an empty
 * array says that nothing came for a while. However it ends other than by itself, the request is cancelled. The
 * consumer must run it to its end or `return()` it, also when the slot's signal aborts while it asks for nothing.
 *
 * @throws {RequestError} when a choice fails
 * @throws {DispatchError} see `Dispatcher`
 * @throws the reason of the slot's signal when it aborts
 */
export async function* runRequest(
  { dispatcher, timeouts, report, observer }: RunDependencies,
  jobs: readonly SequenceJob[],
  journal: JournalReader,
  slot: Slot,
): AsyncGenerator<readonly AnswerEvent[], void, undefined> {
  const { requestId, model } = jobs[0];
  const { signal } = slot;
  let error: unknown = null;
  try {
    signal.throwIfAborted();
    await dispatcher.dispatch(jobs);
    for await (const events of dispatcher.readEvents(requestId, { signal, timeouts })) {
      const progress = journal.read(events);
      observer.take(progress.events);
      if (progress.events.length > 0 || events.length === 0) yield progress.events;
      if (progress.failure !== null) throw poolFailure(progress.failure);
      if (journal.done()) break;
    }
  } catch (thrown) {
    error = thrown;
    throw thrown;
  } finally {
    // A consumer that returns early does so because its client is gone, or the signal says why.
    observer.ended(journal.done() ? null : (error ?? signal.reason ?? new ClientGoneError()));
    if (!journal.done()) await dispatcher.cancel(requestId, model).catch(report);
    slot.leave();
  }
}
