import type { Context } from 'hono';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import type { Registry } from '../../dispatcher/registry.ts';
import type { Admission } from '../admission.ts';
import { errorResponse, LOADING_RETRY_AFTER_S, unavailable } from '../errors.ts';

/** `GET /health`: this process runs and reaches Redis; otherwise 503. */
export const health = (dispatcher: Dispatcher) => async (c: Context) =>
  c.json({ status: 'ok', redisLatencyMs: await dispatcher.ping() });

/**
 * `GET /ready`: 200 when some model can answer, or will once somebody asks for it, which nobody could where this were not 200;
 * otherwise 503 with what each one lacks, or because the gateway drains.
 */
export const ready = (registry: Registry, admission: Admission) => async (c: Context) => {
  if (admission.closed()) {
    return errorResponse(
      c,
      unavailable('draining', 'This gateway finishes what it has and takes nothing new'),
    );
  }
  const served = await registry.models();
  const models = served.map(({ card, state, missing }) => ({ id: card.id, state, missing }));
  if (served.some(({ state, isScaled }) => state === 'ready' || isScaled)) {
    return c.json({ status: 'ready', models });
  }
  const message =
    models.length === 0
      ? 'No pool has announced a model'
      : `No model is ready: ${models.map(({ id, missing }) => `${id} lacks ${missing.join(' and ')}`).join('; ')}`;
  return errorResponse(c, unavailable('not_ready', message, LOADING_RETRY_AFTER_S), { models });
};
