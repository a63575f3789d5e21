import type { Context } from 'hono';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { Registry, ServedModel } from '../../dispatcher/registry.ts';
import { type AccessKey, allowsModel } from '../access/access-key.ts';
import type { GatewayEnvironment } from '../dependencies.ts';
import { modelNotFound } from '../errors.ts';
import { modelNotReady } from '../not-ready.ts';

/** OpenAI's model object, with vLLM's name for the context length. */
const modelObject = ({ id, created, contextLength }: ModelCard) => ({
  id,
  object: 'model',
  created,
  owned_by: 'janus',
  max_model_len: contextLength,
});

/**
 * A model that answers, or whose scaler will see to that: its requests wait in the queue.
 *
 * @param key null where none is needed
 * @throws {RequestError} 404 when no pool has announced the model or the key does not allow it, which look alike; 503
 *   while it is loading
 */
export async function readyModel(
  registry: Registry,
  name: string,
  key: AccessKey | null,
): Promise<ServedModel> {
  const model = allowsModel(key, name) ? await registry.find(name) : undefined;
  if (model === undefined) throw modelNotFound(name);
  if (model.state !== 'ready' && !model.isScaled) throw modelNotReady(model);
  return model;
}

/** `GET /v1/models`: models that answer, now or once they are woken, and the key allows; below a model's own address, that one alone. */
export const listModels = (registry: Registry) => async (c: Context<GatewayEnvironment>) => {
  const key = c.get('accessKey');
  const only = c.req.param('model');
  if (only !== undefined) {
    return c.json({ object: 'list', data: [modelObject((await readyModel(registry, only, key)).card)] });
  }
  const models = await registry.models();
  const ready = models.filter(
    ({ card, state, isScaled }) => (state === 'ready' || isScaled) && allowsModel(key, card.id),
  );
  return c.json({ object: 'list', data: ready.map(({ card }) => modelObject(card)) });
};

/** `GET /v1/models/:id`; an id may hold slashes. */
export const getModel = (registry: Registry) => async (c: Context<GatewayEnvironment>) => {
  const id = c.req.param('id') ?? '';
  const own = c.req.param('model');
  if (own !== undefined && own !== id) throw modelNotFound(id);
  return c.json(modelObject((await readyModel(registry, id, c.get('accessKey'))).card));
};
