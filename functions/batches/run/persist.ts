import { setTimeout as sleep } from 'node:timers/promises';
import { DispatchError } from '../../dispatcher/errors.ts';

/** Between two attempts to reach a Redis that does not answer, in milliseconds. */
export const BROKER_RETRY_MS = 500;

export const isBrokerFault = (error: unknown): boolean =>
  error instanceof DispatchError && (error.fault === 'broker' || error.fault === 'busy');

/**
 * Asks Redis again and again until it answers, as after a restart.
 *
 * @param command something that may be done twice
 * @throws what `command` throws but for faults of the broker; the signal's reason when it aborts
 */
export async function persist<T>(command: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await command();
    } catch (error) {
      if (!isBrokerFault(error)) throw error;
    }
    await sleep(BROKER_RETRY_MS, undefined, { signal });
  }
}
