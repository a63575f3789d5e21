import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { RedisAnswers, RedisLink } from '../../../gpu-pool/exchange/redis-link.ts';
import { dispatchListKey } from '../../../shared/protocol/keys.ts';
import {
  type HarnessOptions,
  HOST,
  harnessPlacement,
  type LinkHarness,
  MODEL,
  PLACEMENT_VERSION,
  SHAPE,
} from './link-harness.ts';
import type { PeerOptions } from './peer.ts';
import { BehaviourSwitch } from './test-expert.ts';

/** Names of connections in Redis' list of clients, by which a test can kill them. */
export const CONNECTION_NAMES = ['link-sender', 'link-answers', 'peer'] as const;

export interface RedisHarness extends LinkHarness {
  readonly link: RedisLink;
  readonly answers: RedisAnswers;
  /** A connection for the test itself. */
  readonly redis: Redis;
  readonly attention: string;
}

let started = 0;

/** A link through Redis to a peer on a thread of its own. */
export async function startRedisHarness(url: string, options: HarnessOptions): Promise<RedisHarness> {
  const { instances, overdueAfterMs, peerVersion = PLACEMENT_VERSION } = options;
  const redis = connect(url, 'test');
  await redis.flushall();
  const behaviour = BehaviourSwitch.allocate();
  const data: PeerOptions = {
    redis: url,
    host: HOST,
    placement: harnessPlacement(instances, peerVersion),
    shape: SHAPE,
    behaviour,
    doubleAnswers: options.doubleAnswers ?? false,
    connectionName: 'peer',
  };
  const peer = new Worker(new URL('./peer-thread.ts', import.meta.url), { workerData: data });
  await once(peer, 'message');
  const sender = connect(url, 'link-sender');
  const attention = `attention-${started++}`;
  const answers = new RedisAnswers(connect(url, 'link-answers'), MODEL, attention, SHAPE);
  const link = new RedisLink({
    host: HOST,
    model: MODEL,
    attention,
    shape: SHAPE,
    sender,
    answers,
    overdueAfterMs,
  });
  const switched = new BehaviourSwitch(behaviour);
  return {
    link,
    answers,
    redis,
    attention,
    setBehaviour: (mode) => switched.set(mode),
    losePeer: async (afterMs) => {
      await sleep(afterMs);
      await peer.terminate();
    },
    waitingSteps: () => redis.llen(dispatchListKey(MODEL, HOST)),
    close: async () => {
      await link.close();
      await answers.close();
      switched.set('compute');
      await peer.terminate();
      sender.disconnect();
      redis.disconnect();
    },
  };
}

function connect(url: string, connectionName: string): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: null, connectionName });
  redis.on('error', () => {});
  return redis;
}
