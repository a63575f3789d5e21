import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { useRedis } from '../../test/support/redis.ts';
import { openSubscriber } from './open-subscriber.ts';

const server = useRedis();
let redis: Redis;
beforeAll(() => {
  redis = new Redis(server.url);
});
afterAll(() => redis.disconnect());

/** Closes the connection before what was sent is answered. */
function breakOff(subscriber: Redis): void {
  subscriber.disconnect();
  subscriber.stream.destroy();
}

test('subscribes anew after a break', async () => {
  const subscriber = openSubscriber(redis);
  subscriber.on('error', () => {});
  await subscriber.subscribe('news');
  const ready = once(subscriber, 'ready');
  await redis.client('KILL', 'TYPE', 'PUBSUB');
  await ready;
  const told = once(subscriber, 'message');
  while ((await redis.publish('news', 'back')) === 0) await sleep(5);
  expect(await told).toEqual(['news', 'back']);
  subscriber.disconnect();
});

test('may be closed while it subscribes anew', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const subscriber = openSubscriber(redis);
  subscriber.on('error', () => {});
  await subscriber.subscribe('news');
  const ended = once(subscriber, 'end');
  // The subscription has been sent by then, and its answer has not come.
  subscriber.once('ready', () => breakOff(subscriber));
  await redis.client('KILL', 'TYPE', 'PUBSUB');
  await ended;
  await sleep(20);
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

test('tells who subscribes of a failure', async () => {
  const subscriber = openSubscriber(redis);
  await subscriber.subscribe('news');
  const subscribed = subscriber.subscribe('more');
  breakOff(subscriber);
  await expect(subscribed).rejects.toThrow('Connection is closed');
});
