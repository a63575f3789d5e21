import { DispatchError } from '../dispatcher/errors.ts';
import { ClientGoneError, unavailable } from './errors.ts';

/** One admitted generation. */
export interface Slot {
  /** Aborts when the client hangs up, the request has lasted too long, or the gateway shuts down. */
  readonly signal: AbortSignal;
  /** To be called once, at the end. */
  readonly leave: () => void;
}

/** Counts the generations under way, and ends them when the gateway must. */
export interface Admission {
  /**
   * @param overallMs longest life of the generation, in milliseconds. The reader of the token stream keeps this bound
   *   too, but does not run while a client takes nothing.
   * @throws {RequestError} 503 when the gateway is full or shuts down
   */
  readonly enter: (client: AbortSignal, overallMs: number) => Slot;
  /** Whether nobody is let in any more. */
  readonly closed: () => boolean;
  /** Lets nobody in any more; resolves when the last one has left. */
  readonly close: () => Promise<void>;
  /** Aborts all that are still in. */
  readonly abortAll: () => void;
}

const shuttingDown = () =>
  unavailable('shutting_down', 'This gateway is shutting down; send the request again');

export function createAdmission(openRequests: number): Admission {
  const inside = new Set<AbortController>();
  const emptied = Promise.withResolvers<void>();
  let closed = false;

  return {
    enter(client, overallMs) {
      if (closed) throw shuttingDown();
      if (inside.size >= openRequests) {
        throw unavailable('overloaded', `This gateway serves ${openRequests} requests already; try again`);
      }
      const controller = new AbortController();
      const onClientGone = () => controller.abort(new ClientGoneError());
      const onOverall = () => controller.abort(new DispatchError('overall', 'The request took too long'));
      const timer = setTimeout(onOverall, overallMs);
      if (client.aborted) onClientGone();
      else client.addEventListener('abort', onClientGone, { once: true });
      inside.add(controller);
      const leave = () => {
        clearTimeout(timer);
        client.removeEventListener('abort', onClientGone);
        inside.delete(controller);
        if (closed && inside.size === 0) emptied.resolve();
      };
      return { signal: controller.signal, leave };
    },
    closed: () => closed,
    close() {
      closed = true;
      if (inside.size === 0) emptied.resolve();
      return emptied.promise;
    },
    abortAll() {
      for (const controller of inside) controller.abort(shuttingDown());
    },
  };
}
