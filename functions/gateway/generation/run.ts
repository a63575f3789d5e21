import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import type { ReadTimeouts } from '../../dispatcher/read-events.ts';
import type { Slot } from '../admission.ts';
import { poolFailure } from '../errors.ts';
import type { AnswerEvent, JournalReader } from './journal.ts';

export interface RunDependencies {
  readonly dispatcher: Dispatcher;
  readonly timeouts: ReadTimeouts;
  readonly report: (error: unknown) => void;
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
  { dispatcher, timeouts, report }: RunDependencies,
  jobs: readonly SequenceJob[],
  journal: JournalReader,
  slot: Slot,
): AsyncGenerator<readonly AnswerEvent[], void, undefined> {
  const { requestId, model } = jobs[0];
  const { signal } = slot;
  try {
    signal.throwIfAborted();
    await dispatcher.dispatch(jobs);
    for await (const events of dispatcher.readEvents(requestId, { signal, timeouts })) {
      const progress = journal.read(events);
      if (progress.events.length > 0 || events.length === 0) yield progress.events;
      if (progress.failure !== null) throw poolFailure(progress.failure);
      if (journal.done()) break;
    }
  } finally {
    if (!journal.done()) await dispatcher.cancel(requestId, model).catch(report);
    slot.leave();
  }
}
