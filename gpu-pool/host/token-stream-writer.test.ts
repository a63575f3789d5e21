import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { type Ring, readRings } from '../../shared/protocol/ring.ts';
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

test('tells once per step and gateway what it wrote, behind the entries, of requests whose readers listen', async () => {
  const writer = new TokenStreamWriter(redis);
  const jobs = [job('a', 0, 'one'), job('a', 1, 'one'), job('b', 0, 'one'), job('c', 0, 'two'), job('d', 0)];
  for (const each of jobs) writer.doorbells.enter(each);
  const heard: [string, Ring[]][] = [];
  const lengths: number[] = [];
  listener.on('message', async (channel, message: string) => {
    const rings: Ring[] = [];
    readRings(message, (requestId, beforeId, events) => rings.push({ requestId, beforeId, events }));
    heard.push([channel, rings]);
    lengths.push(await redis.xlen(tokenStreamKey(rings[0]!.requestId)));
  });
  await listener.subscribe('one', 'two');
  await writer.write(jobs.map(({ requestId, choice }) => [requestId, token(choice)]));
  await expect
    .poll(() => heard)
    .toEqual([
      [
        'one',
        [
          { requestId: 'a', beforeId: '', events: [token(0), token(1)] },
          { requestId: 'b', beforeId: '', events: [token(0)] },
        ],
      ],
      ['two', [{ requestId: 'c', beforeId: '', events: [token(0)] }]],
    ]);
  await expect.poll(() => lengths).toEqual([2, 1]);
  const [lastOfA] = (await redis.xrevrange(tokenStreamKey('a'), '+', '-', 'COUNT', 1))[0]!;

  // One of two choices has ended: the request goes on.
  writer.doorbells.leave(jobs[0]!);
  writer.doorbells.leave(jobs[2]!);
  await writer.write([
    ['a', token(1)],
    ['b', token(0)],
  ]);
  await expect.poll(() => heard.length).toBe(3);
  expect(heard[2]).toEqual(['one', [{ requestId: 'a', beforeId: lastOfA, events: [token(1)] }]]);
  writer.doorbells.leave(jobs[1]!);
  expect(writer.doorbells.messages([['a', '{}']])).toEqual([]);
});

test('goes on behind what was written once and without a hole', async () => {
  const writer = new TokenStreamWriter(redis);
  const at = (position: number, id: number): TokenEvent => ({
    kind: 'token',
    choice: 0,
    position,
    id,
    text: 'x',
  });
  const other: TokenEvent = { kind: 'token', choice: 1, position: 0, id: 9, text: 'y' };
  const events = [at(0, 5), other, at(1, 6), at(1, 6), at(0, 5), at(2, 7), at(4, 8)];
  await writer.write(events.map((event) => ['holed', event]));
  expect(await writer.emittedTokens('holed', 0)).toEqual([5, 6, 7]);
  expect(await writer.emittedTokens('holed', 1)).toEqual([9]);
});
