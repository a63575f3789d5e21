import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { HostMemory } from './host-memory.ts';

test('counts per instance the layer steps, and the mean and maximum of activated experts', () => {
  const memory = new HostMemory(4, 2);
  const sameMemory = new HostMemory(4, 2, memory.buffer);
  const nothing = { layerSteps: 0, meanActivated: 0, maxActivated: 0, groups: 0, groupsMs: 0 };
  expect(memory.counters(5)).toEqual(nothing);
  for (const activated of [3, 9, 0]) sameMemory.count(5, activated, activated - 1, 0.5);
  expect(memory.counters(5)).toEqual({
    layerSteps: 3,
    meanActivated: 4,
    maxActivated: 9,
    groups: 9,
    groupsMs: 1.5,
  });
  expect(memory.counters(4)).toEqual(nothing);
});

test('keeps the mean right beyond 2^32 activations', () => {
  const memory = new HostMemory(0, 1);
  for (let i = 0; i < 5; i++) memory.count(0, 2 ** 30, 1, 0.5);
  expect(memory.counters(0)).toMatchObject({ layerSteps: 5, meanActivated: 2 ** 30, maxActivated: 2 ** 30 });
});

test('shows the life sign of each instance, and counting and ringing do not touch it', () => {
  const memory = new HostMemory(0, 2);
  memory.setAlive(1, true);
  memory.ring(1);
  memory.count(1, 7, 2, 3.5);
  expect([memory.isAlive(0), memory.isAlive(1)]).toEqual([false, true]);
  memory.setAlive(1, false);
  expect(memory.isAlive(1)).toBe(false);
  expect(memory.rings(1)).toBe(1);
});

test('tells which placement versions are served, and counting changes nothing of it', () => {
  const memory = new HostMemory(4, 2);
  const [oldest, newest] = [Date.UTC(2100, 1), Date.UTC(2100, 2)];
  memory.serveVersions(oldest, newest);
  memory.count(5, 7, 2, 3.5);
  expect([oldest - 1, oldest, newest, newest + 1].map((version) => memory.serves(version))).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect(memory.newestVersion).toBe(newest);
  expect(memory.counters(5).layerSteps).toBe(1);
});

test('a ring wakes the thread that waits for it, and one that comes before the wait is not lost', async () => {
  const memory = new HostMemory(0, 2);
  const seen = memory.rings(0);
  memory.ring(0);
  // Returns at once, or this test runs into its limit.
  memory.waitForRing(0, seen, 60_000);

  const waiting = new HostMemory(0, 1);
  const ringer = new Worker(
    `const { module, buffer } = require('node:worker_threads').workerData;
     import(module).then(({ HostMemory }) => new HostMemory(0, 1, buffer).ring(0));`,
    {
      eval: true,
      workerData: { module: new URL('./host-memory.ts', import.meta.url).href, buffer: waiting.buffer },
    },
  );
  waiting.waitForRing(0, 0, 60_000);
  expect(waiting.rings(0)).toBe(1);
  await ringer.terminate();
});
