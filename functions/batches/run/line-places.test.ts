import { expect, test } from 'vitest';
import { createLinePlaces } from './line-places.ts';

const { signal } = new AbortController();

/** Whether `promise` is settled by now. */
const isSettled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))]);

test('lines of all batches take three of four slots of a model, and the rest wait in turn', async () => {
  const places = createLinePlaces();
  const taken = await Promise.all([1, 2, 3].map(() => places.take('m', 4, signal)));
  const [fourth, fifth] = [places.take('m', 4, signal), places.take('m', 4, signal)];
  expect(await isSettled(fourth)).toBe(false);
  expect(await isSettled(places.take('other', 4, signal))).toBe(true);
  taken[0]!();
  expect([await isSettled(fourth), await isSettled(fifth)]).toEqual([true, false]);
  (await fourth)();
  expect(await isSettled(fifth)).toBe(true);
});

test('one line goes on however few slots there are, and more once there are more', async () => {
  const places = createLinePlaces();
  const leave = await places.take('m', 1, signal);
  const second = places.take('m', 1, signal);
  expect(await isSettled(second)).toBe(false);
  expect(await isSettled(places.take('m', 8, signal))).toBe(true);
  leave();
  expect(await isSettled(second)).toBe(false);
});

test('a line whose batch is given up waits no longer, and keeps nobody out', async () => {
  const places = createLinePlaces();
  const leave = await places.take('m', 1, signal);
  const controller = new AbortController();
  const given = places.take('m', 1, controller.signal);
  const next = places.take('m', 1, signal);
  controller.abort(new Error('over'));
  await expect(given).rejects.toThrow('over');
  await expect(places.take('m', 8, controller.signal)).rejects.toThrow('over');
  leave();
  expect(await isSettled(next)).toBe(true);
});
