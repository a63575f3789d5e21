import { Redis } from 'ioredis';
import { allocateSharedExchange, openHostMemory, openLane } from '../../../gpu-pool/exchange/lane-memory.ts';
import { RedisEndpoint } from '../../../gpu-pool/exchange/redis-endpoint.ts';
import { SharedMemoryLink } from '../../../gpu-pool/exchange/shared-memory-link.ts';
import { hostKey } from '../../../shared/protocol/keys.ts';
import type { LayerStepShape } from '../../../shared/protocol/layer-step.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { InstanceThreads } from './instance-threads.ts';

/** What an expert host behind Redis is started with. */
export interface RedisPeerOptions {
  /** URL, or path of a Unix socket. */
  readonly redis: string;
  readonly host: string;
  readonly placement: Placement;
  readonly shape: LayerStepShape;
  readonly behaviour: SharedArrayBuffer;
  /** Sends every answer twice. */
  readonly doubleAnswers?: boolean;
  /** Name of its connections in Redis' list of clients. */
  readonly connectionName?: string;
}

const HEARTBEAT_INTERVAL_MS = 50;
const HEARTBEAT_TTL_MS = 300;
/** Over the bounds that the tests give to their links, so that it is the link which gives up. */
const INSTANCE_OVERDUE_AFTER_MS = 20_000;

/** Starts an expert host as `start-experts` does, but with test experts; it lives as long as its thread or process. */
export async function startRedisPeer(options: RedisPeerOptions): Promise<void> {
  const { redis, host, placement, shape, behaviour, connectionName } = options;
  const { model } = placement;
  const ids = placement.instances.filter((instance) => instance.host === host).map(({ id }) => id);
  const laneOptions = {
    shape,
    instances: ids.length,
    placedInstances: placement.instances.length,
    experts: placement.experts,
  };
  const shared = allocateSharedExchange(host, ids[0]!, laneOptions, 1);
  // Memory that was never written is slower to read; real experts write it.
  openLane(shared, 0).outputs.fill(0.5);
  await InstanceThreads.start(shared, placement.version, behaviour);
  const connect = () => {
    const connection = new Redis(redis, {
      maxRetriesPerRequest: null,
      ...(connectionName && { connectionName }),
    });
    connection.on('error', () => {});
    return connection;
  };
  const sender = connect();
  const beat = () => sender.set(hostKey(model, host), '{}', 'PX', HEARTBEAT_TTL_MS);
  await beat();
  setInterval(() => void beat().catch(() => {}), HEARTBEAT_INTERVAL_MS);
  const instances = new SharedMemoryLink({
    host,
    memory: openHostMemory(shared),
    lane: openLane(shared, 0),
    placement,
    wait: 'yield',
    overdueAfterMs: INSTANCE_OVERDUE_AFTER_MS,
  });
  new RedisEndpoint({
    host,
    model,
    shape,
    receiver: connect(),
    sender: options.doubleAnswers ? pushingTwice(connect()) : connect(),
    instances,
    placementVersion: placement.version,
  });
}

function pushingTwice(redis: Redis): Redis {
  const push = redis.rpush.bind(redis) as (key: string, frame: Buffer) => Promise<number>;
  redis.rpush = (async (key: string, frame: Buffer) => {
    await push(key, frame);
    return push(key, frame);
  }) as typeof redis.rpush;
  return redis;
}
