import { setTimeout as sleep } from 'node:timers/promises';
import { Job, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import { AttentionInstance } from '../../gpu-pool/attention/attention-instance.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { DEFAULT_LIMITS } from '../../gpu-pool/host/host-options.ts';
import { cancelledKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';

const ROUNDS = 9;

const local = useRedis();
let host: Host;
let gateway: RunningGateway;
let redis: Redis;
let queue: Queue<SequenceJob, SequenceOutcome>;

beforeAll(async () => {
  host = await startTestHost(local.url, { limits: { ...DEFAULT_LIMITS, slots: 2 } });
  gateway = await startGateway({ redisUrl: local.url, host: '127.0.0.1', port: 0 });
  redis = new Redis(local.url);
  queue = new Queue(requestQueueName(DICTIONARY_MODEL), { prefix: QUEUE_PREFIX, connection: redis });
});
afterAll(async () => {
  await gateway.close();
  await host.close();
  await queue.close();
  redis.disconnect();
});

/** Starts an endless answer and returns once its first bytes are there. */
async function startAnswer(
  signal: AbortSignal,
): Promise<{ requestId: string; reader: ReadableStreamDefaultReader }> {
  const response = await fetch(`http://127.0.0.1:${gateway.port}/v1/completions`, {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      prompt: 'harbor',
      max_tokens: 500,
      ignore_eos: true,
      stream: true,
    }),
  });
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  await reader.read();
  return { requestId: response.headers.get('x-request-id')!, reader };
}

async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await sleep(5)) {
    if (await condition()) return;
  }
  throw new Error(`Not within 5 s: ${what}`);
}

async function outcomeOf(requestId: string): Promise<SequenceOutcome> {
  const id = `${requestId}-0`;
  await until('the job has ended', async () => (await queue.getJobState(id)) === 'completed');
  return (await Job.fromId<SequenceJob, SequenceOutcome>(queue, id))!.returnvalue;
}

it('a client that hangs up frees its slot within two decode steps, and its job ends as cancelled', async () => {
  const instance = host.attention!.instances[0]!;
  const told: number[] = [];
  const cancel = vi.spyOn(instance, 'cancel').mockImplementation((requestId) => {
    told.push(instance.steps);
    AttentionInstance.prototype.cancel.call(instance, requestId);
  });
  for (let round = 0; round < ROUNDS; round++) {
    const client = new AbortController();
    const { requestId, reader } = await startAnswer(client.signal);
    client.abort();
    await reader.closed.catch(() => {});
    expect(await outcomeOf(requestId)).toMatchObject({ state: 'cancelled' });
    expect(instance.statistics.slotsInUse).toBe(0);
    expect(instance.steps - told[round]!).toBeLessThanOrEqual(2);
  }
  cancel.mockRestore();
});

it('a client that hangs up while its request waits for a slot never gets one', async () => {
  const running = [new AbortController(), new AbortController()];
  const answers = await Promise.all(running.map((client) => startAnswer(client.signal)));
  const waiting = new AbortController();
  const third = startAnswer(waiting.signal);
  third.catch(() => {});
  await until('the third request is queued', async () => (await queue.getPrioritizedCount()) === 1);
  const [job] = await queue.getPrioritized();
  waiting.abort();
  await until('it is cancelled', async () => (await redis.exists(cancelledKey(job!.data.requestId))) === 1);
  for (const client of running) client.abort();
  expect(await outcomeOf(job!.data.requestId)).toMatchObject({ state: 'cancelled', completionTokens: 0 });
  for (const { requestId } of answers) {
    expect(await outcomeOf(requestId)).toMatchObject({ state: 'cancelled' });
  }
});
