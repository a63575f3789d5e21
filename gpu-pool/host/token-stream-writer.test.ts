import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { useRedis } from '../../test/support/redis.ts';
import { TokenStreamWriter } from './token-stream-writer.ts';

const server = useRedis();
let redis: Redis;
let listener: Redis;
beforeAll(() => {
  redis = new Redis(server.url);
  listener = new Redis(server.url);
});
afterAll(() => {
  redis.disconnect();
  listener.disconnect();
});

const job = (requestId: string, choice: number, doorbell?: string) =>
  ({ requestId, choice, ...(doorbell && { doorbell }) }) as SequenceJob;
const token = (choice: number): TokenEvent => ({ kind: 'token', choice, position: 0, id: 1, text: 'x' });

test('rings once per step and gateway, behind the entries, for requests under way whose readers listen', async () => {
  const writer = new TokenStreamWriter(redis);
  const jobs = [job('a', 0, 'one'), job('a', 1, 'one'), job('b', 0, 'one'), job('c', 0, 'two'), job('d', 0)];
  for (const each of jobs) writer.doorbells.enter(each);
  const heard: [string, string, number][] = [];
  listener.on('message', async (channel, message: string) => {
    heard.push([channel, message, await redis.xlen(tokenStreamKey(message.split(' ')[0]!))]);
  });
  await listener.subscribe('one', 'two');
  await writer.write(jobs.map(({ requestId, choice }) => [requestId, token(choice)]));
  await expect
    .poll(() => heard)
    .toEqual([
      ['one', 'a b', 2],
      ['two', 'c', 1],
    ]);

  // One of two choices has ended: the request goes on.
  writer.doorbells.leave(jobs[0]!);
  writer.doorbells.leave(jobs[2]!);
  await writer.write([
    ['a', token(1)],
    ['b', token(0)],
  ]);
  await expect.poll(() => heard.length).toBe(3);
  expect(heard[2]).toEqual(['one', 'a', 3]);
  writer.doorbells.leave(jobs[1]!);
  expect(writer.doorbells.messages(['a', 'b'])).toEqual([]);
});
