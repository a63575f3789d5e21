import { DispatchError } from '../dispatcher/errors.ts';
import { createPlaces } from '../places.ts';
import { ClientGoneError, unavailable } from './errors.ts';

/** One admitted generation. */
export interface Slot {
  /** Aborts when the client hangs up, the request has lasted longer than the client or the gateway allows, or that shuts down. */
  readonly signal: AbortSignal;
  /** To be called once, at the end. */
  readonly leave: () => void;
}

/** Counts the generations under way, and ends them when the gateway must. */
export interface Admission {
  /**
   * @param overallMs longest life of the generation, in milliseconds. The reader of the token stream keeps this bound
   *   too, but does not run while a client takes nothing.
   * @param timeoutMs the same as the client has it; null: it sets none
   * @throws {RequestError} 503 when the gateway is full or shuts down
   */
  readonly enter: (client: AbortSignal, overallMs: number, timeoutMs?: number | null) => Slot;
  /** Whether nobody is let in any more. */
  readonly closed: () => boolean;
  /** Lets nobody in any more; resolves when the last one has left. */
  readonly close: () => Promise<void>;
  /** Aborts all that are still in. */
  readonly abortAll: () => void;
}

/** A generation that is so much over its time, in milliseconds, is not under way any more. */
const OVERDUE_MS = 60_000;

const shuttingDown = () =>
  unavailable('shutting_down', 'This gateway is shutting down; send the request again');

const tooLong = () => new DispatchError('overall', 'The request took too long');
const overDeadline = () => new DispatchError('deadline', 'The request took longer than its client allows');

export function createAdmission(openRequests: number): Admission {
  const inside = createPlaces<AbortController>(openRequests);
  const emptied = Promise.withResolvers<void>();
  let closed = false;

  return {
    enter(client, overallMs, timeoutMs = null) {
      if (closed) throw shuttingDown();
      const controller = new AbortController();
      const leavePlace = inside.enter(controller, overallMs + OVERDUE_MS);
      if (leavePlace === null) {
        throw unavailable('overloaded', `This gateway serves ${openRequests} requests already; try again`);
      }
      const onClientGone = () => controller.abort(new ClientGoneError());
      const isClients = timeoutMs !== null && timeoutMs < overallMs;
      const onLate = () => controller.abort(isClients ? overDeadline() : tooLong());
      const timer = setTimeout(onLate, isClients ? timeoutMs : overallMs);
      if (client.aborted) onClientGone();
      else client.addEventListener('abort', onClientGone, { once: true });
      const leave = () => {
        clearTimeout(timer);
        client.removeEventListener('abort', onClientGone);
        leavePlace();
        if (closed && inside.size() === 0) emptied.resolve();
      };
      return { signal: controller.signal, leave };
    },
    closed: () => closed,
    close() {
      closed = true;
      if (inside.size() === 0) emptied.resolve();
      return emptied.promise;
    },
    abortAll() {
      for (const controller of inside.guests()) controller.abort(shuttingDown());
    },
  };
}
