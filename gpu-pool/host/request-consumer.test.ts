import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobLockKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import { useRedis } from '../../test/support/redis.ts';
import type { AttentionInstance } from '../attention/attention-instance.ts';
import { HeldJobs } from './held-jobs.ts';
import { RequestConsumer } from './request-consumer.ts';
import { TokenStreamWriter } from './token-stream-writer.ts';

const MODEL = 'some';
const COUNTS = { promptTokens: 1, completionTokens: 1 };
/** Long enough for the job to be found without a lock and given out again. */
const SLOW_END_MS = 1_500;

const server = useRedis();
let redis: Redis;
let queue: Queue<SequenceJob>;
beforeAll(() => {
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
  queue = new Queue(requestQueueName(MODEL), { connection: redis, prefix: QUEUE_PREFIX });
});
afterAll(async () => {
  await queue.close();
  redis.disconnect();
});

/** As much of an instance as the consumer sees: its first sequence ends late after it was cancelled, its second at once. */
class SlowInstance {
  readonly state = 'ready';
  readonly slots = 2;
  readonly load = 0;
  submitted = 0;
  readonly cancelled: string[] = [];
  readonly #first = Promise.withResolvers<SequenceOutcome>();

  submit(): Promise<SequenceOutcome> {
    this.submitted++;
    if (this.submitted === 1) return this.#first.promise;
    return Promise.resolve({ state: 'finished', reason: 'stop', ...COUNTS });
  }

  cancel(requestId: string, choice?: number): void {
    this.cancelled.push(`${requestId}/${choice}`);
    setTimeout(() => this.#first.resolve({ state: 'cancelled', reason: 'lost', ...COUNTS }), SLOW_END_MS);
  }
}

test('a job that comes again to the host that lost it is begun anew only when its first attempt has ended', async () => {
  const writer = new TokenStreamWriter(redis);
  const jobs = new HeldJobs(redis, MODEL, writer);
  const instance = new SlowInstance();
  const consumer = await RequestConsumer.start({
    model: MODEL,
    redisUrl: server.url,
    redis,
    subscriber: redis.duplicate(),
    instances: [instance as unknown as AttentionInstance],
    writer,
    jobs,
  });
  const job = { requestId: 'request', choice: 0 } as SequenceJob;
  await queue.add('sequence', job, { jobId: 'request-0', attempts: 3 });
  await expect.poll(() => instance.submitted).toBe(1);
  jobs.suspect();
  await jobs.write([]);
  expect(instance.cancelled).toEqual([]);
  await redis.del(jobLockKey(MODEL, 'request-0'));
  await expect.poll(() => instance.cancelled, { timeout: 5_000 }).toEqual(['request/0']);
  expect(instance.submitted).toBe(1);
  const state = async () => (await queue.getJob('request-0'))!.getState();
  await expect.poll(state, { timeout: 10_000 }).toBe('completed');
  expect(instance.submitted).toBe(2);
  await consumer.close();
});
