import type { Redis } from 'ioredis';
import { hostKey, membersKey, modelsKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
import type { HostRecord, ModelCard } from '../../shared/protocol/member.ts';
import { type Clock, systemClock } from '../clock.ts';
import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';

/** A model is `asleep` when it has no host, and a scaler that starts some once somebody asks for it. */
export type ModelState = 'unknown' | 'asleep' | 'loading' | 'ready';

/** A model that some pool has announced. */
export interface ServedModel {
  readonly card: ModelCard;
  readonly state: Exclude<ModelState, 'unknown'>;
  /** What a model that is not ready lacks, in words. */
  readonly missing: readonly string[];
  /** KV slots of its attention instances that are ready. */
  readonly slots: number;
  /** Whether a scaler looks after it, which starts what is missing once somebody asks for it. */
  readonly isScaled: boolean;
}

/** Which models the pools serve, as their heartbeats tell. */
export interface Registry {
  /**
   * All announced models in order of their ids, ready or not.
   *
   * @throws {DispatchError} `broker`
   */
  readonly models: () => Promise<readonly ServedModel[]>;
  readonly find: (model: string) => Promise<ServedModel | undefined>;
  readonly modelState: (model: string) => Promise<ModelState>;
}

export interface RegistryOptions {
  /** How old an answer may be, in milliseconds. 0 asks Redis each time. */
  readonly cacheMs?: number;
  readonly clock?: Clock;
}

const DEFAULT_CACHE_MS = 1_000;

/** A model can answer when it has an attention instance and an expert instance that are ready, on hosts that live. */
function missingParts(hosts: readonly HostRecord[]): string[] {
  const missing: string[] = [];
  const attention = hosts.flatMap((host) => host.attention);
  const experts = hosts.flatMap((host) => host.experts);
  if (!attention.some((instance) => instance.state === 'ready')) {
    missing.push(`an attention instance that is ready (${attention.length} known)`);
  }
  if (!experts.some((instance) => instance.state === 'ready')) {
    missing.push(`an expert instance that is ready (${experts.length} known)`);
  }
  return missing;
}

/** Records of the living hosts of a model. @throws {DispatchError} `broker` */
export async function readHosts(redis: Redis, model: string): Promise<readonly HostRecord[]> {
  const members = await asBrokerFault(redis.smembers(membersKey(model)));
  const keys = members.map((host) => hostKey(model, host));
  const records = keys.length === 0 ? [] : await asBrokerFault(redis.mget(keys));
  // A host whose record has expired is gone, though the set may still name it.
  return records.filter((record) => record !== null).map((record) => JSON.parse(record) as HostRecord);
}

/** Cards of all announced models in order of their ids. @throws {DispatchError} `broker` */
export async function readCards(redis: Redis): Promise<readonly ModelCard[]> {
  const announced = await asBrokerFault(redis.hgetall(modelsKey));
  const cards = Object.values(announced).map((card) => JSON.parse(card) as ModelCard);
  return cards.sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function readModel(redis: Redis, card: ModelCard): Promise<ServedModel> {
  const hosts = await readHosts(redis, card.id);
  const missing = missingParts(hosts);
  const ready = hosts.flatMap((host) => host.attention).filter(({ state }) => state === 'ready');
  const slots = ready.reduce((sum, instance) => sum + instance.slots, 0);
  const isScaled = (await asBrokerFault(redis.exists(scalingTargetKey(card.id)))) === 1;
  const unready = isScaled && hosts.length === 0 ? 'asleep' : 'loading';
  return { card, state: missing.length === 0 ? 'ready' : unready, missing, slots, isScaled };
}

async function readModels(redis: Redis): Promise<readonly ServedModel[]> {
  return Promise.all((await readCards(redis)).map((card) => readModel(redis, card)));
}

export function createRegistry(redis: Redis, options: RegistryOptions = {}): Registry {
  const cacheMs = options.cacheMs ?? DEFAULT_CACHE_MS;
  const clock = options.clock ?? systemClock;
  let cached: { readonly untilMs: number; readonly models: Promise<readonly ServedModel[]> } | undefined;

  const models = (): Promise<readonly ServedModel[]> => {
    const nowMs = clock.nowMs();
    if (cached !== undefined && nowMs < cached.untilMs) return cached.models;
    const reading = bounded(readModels(redis), BROKER_ANSWER_MS);
    const entry = { untilMs: nowMs + cacheMs, models: reading };
    cached = entry;
    reading.catch(() => {
      if (cached === entry) cached = undefined;
    });
    return reading;
  };

  const find = async (model: string): Promise<ServedModel | undefined> =>
    (await models()).find((served) => served.card.id === model);

  return { models, find, modelState: async (model) => (await find(model))?.state ?? 'unknown' };
}
