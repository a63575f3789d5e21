import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { readMembers } from '../../../gpu-pool/host/membership.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import {
  membersKey,
  modelsKey,
  QUEUE_PREFIX,
  requestQueueName,
  scalingTargetKey,
  wantedSizesKey,
} from '../../../shared/protocol/keys.ts';
import type { HostRecord, ModelCard } from '../../../shared/protocol/member.ts';
import type { WantedSizes } from '../../../shared/protocol/scaling.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';

/** Keys that Redis looks at in one step of a scan. */
const SCAN_BATCH = 1_000;

export interface ModelStatus {
  readonly model: string;
  /** Absent until a host with attention instances has announced the model to the gateways. */
  readonly card: ModelCard | null;
  readonly hosts: readonly HostRecord[];
  /** The placement in force. */
  readonly placement: Placement | null;
  /** What its scaler wants, null until it has run; absent where no scaler looks after it. */
  readonly scaling?: { readonly wanted: WantedSizes | null };
  /** Sequences in the model's queue. */
  readonly queue: { readonly waiting: number; readonly active: number };
}

/** What hosts and gateways keep in Redis. JSON-serialisable. */
export interface SystemStatus {
  /** Ascending by name. */
  readonly models: readonly ModelStatus[];
}

/** @throws JanusError when a placement in Redis is not valid */
export async function readStatus(redis: Redis): Promise<SystemStatus> {
  const cards = await redis.hgetall(modelsKey);
  const names = [...new Set([...Object.keys(cards), ...(await registeredModels(redis))])].sort();
  const models = await Promise.all(names.map((name) => readModel(redis, name, cards[name])));
  return { models };
}

/** Models for which some host has registered. Hosts register before the model is announced, so they are looked for. */
async function registeredModels(redis: Redis): Promise<string[]> {
  const [before, after] = membersKey('*').split('*') as [string, string];
  const names: string[] = [];
  for await (const keys of redis.scanStream({ match: membersKey('*'), type: 'set', count: SCAN_BATCH })) {
    for (const key of keys as string[]) names.push(key.slice(before.length, -after.length));
  }
  return names;
}

async function readModel(redis: Redis, model: string, card: string | undefined): Promise<ModelStatus> {
  const queue = new Queue(requestQueueName(model), {
    prefix: QUEUE_PREFIX,
    connection: redis,
    skipMetasUpdate: true,
  });
  const [hosts, placement, [target, wanted], counts] = await Promise.all([
    readMembers(redis, model),
    readPlacement(redis, model),
    redis.mget(scalingTargetKey(model), wantedSizesKey(model)),
    queue.getJobCounts('wait', 'prioritized', 'delayed', 'active'),
  ]);
  const { wait = 0, prioritized = 0, delayed = 0, active = 0 } = counts;
  return {
    model,
    card: card === undefined ? null : (JSON.parse(card) as ModelCard),
    hosts,
    placement,
    ...(target != null && { scaling: { wanted: wanted == null ? null : JSON.parse(wanted) } }),
    queue: { waiting: wait + prioritized + delayed, active },
  };
}
