import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, vi } from 'vitest';
import type { Host } from '../../../gpu-pool/host/host.ts';
import { QUEUE_PREFIX, requestQueueName } from '../../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../../shared/protocol/request.ts';
import { makeKey } from '../../support/gateway/keyed-bed.ts';
import { useRedis } from '../../support/redis.ts';
import { DICTIONARY_MODEL, startTestHost } from '../../support/test-host.ts';

/** How long the pool may take to be told that a client hung up, in milliseconds. */
const CANCEL_LIMIT_MS = 5_000;

/** A gateway of any kind before the shipped model's pool. */
export interface SdkGateway {
  /** Without a slash at its end. */
  readonly address: string;
  /** Makes a gateway run its batches that does so only when it is told to. */
  readonly runBatches: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** What a suite needs to know of the server that it is run against. */
export interface SdkTarget extends Pick<SdkGateway, 'runBatches'> {
  readonly baseURL: string;
  readonly apiKey: string;
  readonly model: string;
  /** Sequences that hold a KV slot of the pool. */
  readonly running: () => number;
  /** Sequences that have ended, so far, because nobody waited for them any more. */
  readonly cancelled: () => Promise<number>;
}

/**
 * Gives the tests of a file the shipped model behind a gateway that asks for an API key.
 *
 * @returns tells where; to be called inside tests and hooks
 */
export function useSdkTarget(startGateway: (redisUrl: string) => Promise<SdkGateway>): () => SdkTarget {
  const local = useRedis();
  let redis: Redis;
  let host: Host;
  let gateway: SdkGateway;
  let queue: Queue<SequenceJob, SequenceOutcome>;
  let target: SdkTarget;
  beforeAll(async () => {
    redis = new Redis(local.url, { maxRetriesPerRequest: null });
    const apiKey = await makeKey(redis);
    [host, gateway] = await Promise.all([startTestHost(local.url), startGateway(local.url)]);
    queue = new Queue(requestQueueName(DICTIONARY_MODEL), { prefix: QUEUE_PREFIX, connection: redis });
    target = {
      baseURL: `${gateway.address}/v1`,
      apiKey,
      model: DICTIONARY_MODEL,
      runBatches: gateway.runBatches,
      running: () =>
        host.attention!.instances.reduce((sum, { statistics }) => sum + statistics.slotsInUse, 0),
      async cancelled() {
        const ended = await queue.getCompleted();
        return ended.filter(({ returnvalue }) => returnvalue.state === 'cancelled').length;
      },
    };
  });
  afterAll(async () => {
    await queue.close();
    await gateway.close();
    await host.close();
    redis.disconnect();
  });
  return () => target;
}

/** Expects that one sequence, which `askAndHangUp` asks for, is cancelled in the pool and frees its slot. */
export async function expectCancelled(
  { running, cancelled }: SdkTarget,
  askAndHangUp: () => Promise<unknown>,
): Promise<void> {
  const before = await cancelled();
  await askAndHangUp();
  await vi.waitFor(
    async () => {
      expect(await cancelled()).toBe(before + 1);
      expect(running()).toBe(0);
    },
    { timeout: CANCEL_LIMIT_MS, interval: 20 },
  );
}

/** Waits until the pool generates. */
export const untilRunning = ({ running }: SdkTarget): Promise<void> =>
  vi.waitFor(() => expect(running()).toBeGreaterThan(0), { timeout: CANCEL_LIMIT_MS, interval: 1 });
