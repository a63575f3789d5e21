import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobLockKey, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { useRedis } from '../../test/support/redis.ts';
import { type HeldJob, HeldJobs } from './held-jobs.ts';
import { TokenStreamWriter } from './token-stream-writer.ts';

const MODEL = 'some';
const server = useRedis();
let redis: Redis;
beforeAll(() => {
  redis = new Redis(server.url);
});
afterAll(() => {
  redis.disconnect();
});

/** Does to this thread what stopping its process does. */
const pause = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const token = (choice: number): TokenEvent => ({ kind: 'token', choice, position: 0, id: 1, text: 'x' });
const written = async (requestId: string): Promise<number> => redis.xlen(tokenStreamKey(requestId));

/** A job whose lock holds `lock`. */
async function enter(
  jobs: HeldJobs,
  requestId: string,
  lock: string | null,
  ended: string[],
): Promise<HeldJob> {
  const job = jobs.enter({ id: `${requestId}-0`, token: 'mine', requestId, choice: 0 });
  job.abandon = () => ended.push(requestId);
  if (lock !== null) await redis.set(jobLockKey(MODEL, job.id), lock);
  return job;
}

test('after a pause nothing is written for jobs that others have, or will have, and their sequences end', async () => {
  const jobs = new HeldJobs(redis, MODEL, new TokenStreamWriter(redis));
  const ended: string[] = [];
  const held = [
    await enter(jobs, 'kept', 'mine', ended),
    await enter(jobs, 'taken', 'theirs', ended),
    await enter(jobs, 'waiting', null, ended),
  ];
  pause(1_100);
  await jobs.write(['kept', 'taken', 'waiting', 'never-held'].map((request) => [request, token(0)]));
  expect(ended).toEqual(['taken', 'waiting']);
  expect(await Promise.all(['kept', 'taken', 'waiting', 'never-held'].map(written))).toEqual([1, 0, 0, 1]);
  for (const job of held) jobs.leave(job);
  await jobs.write([['taken', token(0)]]);
  expect(await written('taken')).toBe(1);
});

test('without a pause, or a lock that was not renewed, no lock is looked at', async () => {
  const jobs = new HeldJobs(redis, MODEL, new TokenStreamWriter(redis));
  const ended: string[] = [];
  const job = await enter(jobs, 'busy', 'theirs', ended);
  await jobs.write([['busy', token(0)]]);
  expect([await written('busy'), ended]).toEqual([1, []]);
  jobs.suspect();
  await jobs.write([['busy', token(0)]]);
  expect([await written('busy'), ended]).toEqual([1, ['busy']]);
  jobs.leave(job);
  await job.left;
});
