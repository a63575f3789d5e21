import { QueueKeys } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  givenUpPlacementKey,
  placementKey,
  placementTimeKey,
  QUEUE_PREFIX,
  requestQueueName,
  scalerDecisionsKey,
  wantedPlacementKey,
} from '../../shared/protocol/keys.ts';
import type { HostRecord } from '../../shared/protocol/member.ts';
import type { ScalerDecision } from '../../shared/protocol/scaling.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { ask } from './ask.ts';
import { readCards, readHosts } from './registry.ts';

/** The placement in force. */
export interface PlacementStatus {
  readonly version: number;
  /** Unix time in milliseconds; null where whoever published it did not say. */
  readonly publishedAtMs: number | null;
  /** Unix time in milliseconds at which one was published that is to follow it, and that its hosts load; absent where none was. */
  readonly wantedAtMs?: number;
  /** Version of the one that was given up last on its way; absent where none was. */
  readonly givenUpVersion?: number;
}

/** The pools of one model, as Redis tells of them. */
export interface PoolStatus {
  readonly model: string;
  /** Those that live. */
  readonly hosts: readonly HostRecord[];
  /** Null until one is published; a monolith never publishes one. */
  readonly placement: PlacementStatus | null;
  /** Sequences that no host has taken yet. */
  readonly queued: number;
  /** The latest decision on the sizes of the pools; absent where no scaler has run for a day. */
  readonly scaler?: ScalerDecision;
}

export interface PoolReader {
  /**
   * The pools of all announced models in order of their ids.
   *
   * @throws {DispatchError} `broker`
   */
  readonly read: () => Promise<readonly PoolStatus[]>;
}

const queueKeys = new QueueKeys(QUEUE_PREFIX);

async function readQueued(redis: Redis, model: string): Promise<number> {
  const key = (type: string) => queueKeys.toKey(requestQueueName(model), type);
  // A failed attempt waits among the delayed ones for the next.
  const counts = [redis.llen(key('wait')), redis.zcard(key('prioritized')), redis.zcard(key('delayed'))];
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

async function readPlacement(redis: Redis, model: string): Promise<PlacementStatus | null> {
  const [[placement, publishedAtMs, givenUp], wantedAtMs] = await Promise.all([
    redis.mget(placementKey(model), placementTimeKey(model), givenUpPlacementKey(model)),
    redis.hget(wantedPlacementKey(model), 'at'),
  ]);
  if (typeof placement !== 'string') return null;
  const { version } = JSON.parse(placement) as Placement;
  return {
    version,
    publishedAtMs: typeof publishedAtMs === 'string' ? Number(publishedAtMs) : null,
    ...(typeof wantedAtMs === 'string' && { wantedAtMs: Number(wantedAtMs) }),
    ...(typeof givenUp === 'string' && { givenUpVersion: Number(givenUp) }),
  };
}

async function readDecision(redis: Redis, model: string): Promise<ScalerDecision | null> {
  const decision = await redis.lindex(scalerDecisionsKey(model), 0);
  return decision === null ? null : (JSON.parse(decision) as ScalerDecision);
}

async function readPools(redis: Redis): Promise<readonly PoolStatus[]> {
  const cards = await readCards(redis);
  return Promise.all(
    cards.map(async ({ id: model }) => {
      const [hosts, placement, queued, scaler] = await Promise.all([
        readHosts(redis, model),
        readPlacement(redis, model),
        readQueued(redis, model),
        readDecision(redis, model),
      ]);
      return { model, hosts, placement, queued, ...(scaler && { scaler }) };
    }),
  );
}

export function createPoolReader(redis: Redis): PoolReader {
  return { read: () => ask(readPools(redis)) };
}
