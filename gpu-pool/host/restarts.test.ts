import { expect, test } from 'vitest';
import { MOST_RESTARTS, Restarts, restartPauseMs } from './restarts.ts';

/** Pauses a fiftieth as long. */
const quickly = (ends: number): number | null => {
  const pauseMs = restartPauseMs(ends);
  return pauseMs === null ? null : pauseMs / 50;
};

function openRestarts(start: () => Promise<void>) {
  const lines: string[] = [];
  const givenUp = Promise.withResolvers<string>();
  const log = (line: string) => void lines.push(line);
  const options = { name: 'instance 3', start, log, givenUp: givenUp.resolve, pauseMs: quickly };
  return { lines, givenUp: givenUp.promise, restarts: new Restarts(options) };
}

test('pauses twice as long before each start, and gives up after a bound', () => {
  const pauses = Array.from({ length: MOST_RESTARTS + 1 }, (_, i) => restartPauseMs(i + 1));
  expect(pauses).toEqual([100, 200, 400, null]);
});

test('starts until it serves, and counts on where it soon ends again', async () => {
  let starts = 0;
  const { lines, givenUp, restarts } = openRestarts(async () => {
    starts++;
    if (starts === 1) throw new Error('no memory');
  });
  restarts.ended('a fault');
  await expect.poll(() => lines.at(-1)).toBe('instance 3 serves again');
  expect(lines[0]).toMatch(/instance 3 ended unexpectedly: a fault; .* again in 2 ms/);
  expect(lines[1]).toMatch(/no memory; .* again in 4 ms/);
  for (let end = 3; end <= MOST_RESTARTS; end++) {
    restarts.ended('a fault');
    await expect.poll(() => starts).toBe(end);
  }
  restarts.ended('the last fault');
  expect(await givenUp).toBe('instance 3 has ended 4 times in a row, this time because of: the last fault');
  expect(starts).toBe(MOST_RESTARTS);
});

test('starts nothing any more once it is closed', async () => {
  let starts = 0;
  const { lines, restarts } = openRestarts(async () => void starts++);
  restarts.ended('a fault');
  await restarts.close();
  expect(starts).toBe(0);
  expect(lines).toHaveLength(1);
});
