import { DispatchError } from './errors.ts';

/** Redis answers everything that does not block within this time, or it counts as unreachable. */
export const BROKER_ANSWER_MS = 5_000;

/**
 * Waits for `work`, but no longer than `limitMs` and not beyond the abort of `signal`. The work itself goes on: a
 * command that was sent to Redis cannot be taken back.
 *
 * @throws {DispatchError} `broker` when the time is up
 * @throws the signal's reason when it aborts
 */
export async function bounded<T>(work: Promise<T>, limitMs: number, signal?: AbortSignal): Promise<T> {
  // Whoever loses the race below may still fail; nobody is left to hear of it.
  work.catch(() => {});
  signal?.throwIfAborted();
  const { promise: given, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal?.reason);
  const timer = setTimeout(() => reject(new DispatchError('broker', 'Redis does not answer')), limitMs);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Gives a command's own failure (connection lost, Redis loading, …) the name under which the gateway answers it. */
export async function asBrokerFault<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DispatchError) throw error;
    throw new DispatchError('broker', 'Redis refused a command', { cause: error });
  }
}
