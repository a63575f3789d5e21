import { DispatchError } from '../dispatcher/errors.ts';
import type { Registry, ServedModel } from '../dispatcher/registry.ts';
import { LOADING_RETRY_AFTER_S, type RequestError, shown, unavailable } from './errors.ts';

/** @param isOver whether the request has waited for the model for as long as it may */
export function modelNotReady({ card, missing, state }: ServedModel, isOver = false): RequestError {
  const still = isOver ? 'was not ready within the time that this request may wait' : 'is not ready';
  const asleep = state === 'asleep' ? '; it is asleep, and nothing has started it' : '';
  const message = `The model '${shown(card.id)}' ${still}: it lacks ${missing.join(' and ')}${asleep}`;
  return unavailable('model_not_ready', message, LOADING_RETRY_AFTER_S);
}

/**
 * What to tell the client of a request that no instance took before its time was over: where the model lacks what it takes to
 * answer, that is why.
 *
 * @returns explains what the request ended with
 */
export const explainUntaken =
  (registry: Registry, name: string) =>
  async (error: unknown): Promise<unknown> => {
    const isLate = error instanceof DispatchError && (error.fault === 'queue' || error.fault === 'deadline');
    const model = isLate ? await registry.find(name).catch(() => undefined) : undefined;
    return model === undefined || model.state === 'ready' ? error : modelNotReady(model, true);
  };
