import { beforeEach, expect, test } from 'vitest';
import { createTimedCache } from './timed-cache.ts';

/** Most names that the cache keeps, of either sort. */
const KEPT = 1_024;
let nowMs = 0;
let asked: string[] = [];
let broken = false;
beforeEach(() => {
  nowMs = 0;
  broken = false;
  asked = [];
});

/** Names that begin with `no` name nothing. */
const create = () =>
  createTimedCache(
    async (name) => {
      asked.push(name);
      if (broken) throw new Error('out of order');
      return name.startsWith('no') ? undefined : `value of ${name}`;
    },
    { cacheMs: 100, clock: { nowMs: () => nowMs } },
  );

test('asks once for many, and again only when the time is up', async () => {
  const find = create();
  expect(await Promise.all([find('a'), find('a'), find('nothing'), find('nothing')])).toEqual([
    'value of a',
    'value of a',
    undefined,
    undefined,
  ]);
  nowMs = 99;
  await Promise.all([find('a'), find('nothing')]);
  expect(asked).toEqual(['a', 'nothing']);
  nowMs = 100;
  expect(await Promise.all([find('a'), find('nothing')])).toEqual(['value of a', undefined]);
  expect(asked).toEqual(['a', 'nothing', 'a', 'nothing']);
});

test('counts the time from when it asked, not from the answer', async () => {
  const answer = Promise.withResolvers<string>();
  let questions = 0;
  const find = createTimedCache(
    () => {
      questions += 1;
      return answer.promise;
    },
    { cacheMs: 100, clock: { nowMs: () => nowMs } },
  );
  const first = find('a');
  nowMs = 90;
  answer.resolve('late');
  expect(await first).toBe('late');
  nowMs = 100;
  await find('a');
  expect(questions).toBe(2);
});

test('is bounded, and no flood of names of nothing drives out what exists', async () => {
  const find = create();
  await find('a');
  for (let count = 0; count < 2 * KEPT; count++) await find(`nothing ${count}`);
  asked = [];
  await find('a');
  await find(`nothing ${2 * KEPT - 1}`);
  expect(asked).toEqual([]);
  await find('nothing 0');
  expect(asked).toEqual(['nothing 0']);
});

test('drops the oldest of too many that exist', async () => {
  const find = create();
  for (let count = 0; count <= KEPT; count++) await find(`a ${count}`);
  asked = [];
  await find(`a ${KEPT}`);
  expect(asked).toEqual([]);
  await find('a 0');
  expect(asked).toEqual(['a 0']);
});

test('does not remember a failure', async () => {
  const find = create();
  broken = true;
  await expect(find('a')).rejects.toThrow('out of order');
  broken = false;
  expect(await find('a')).toBe('value of a');
  expect(asked).toEqual(['a', 'a']);
});

test('holds the last answer for what exists while asking fails', async () => {
  const find = create();
  await Promise.all([find('a'), find('nothing')]);
  broken = true;
  nowMs = 500;
  expect(await find('a')).toBe('value of a');
  await expect(find('nothing')).rejects.toThrow('out of order');
  nowMs = 600;
  broken = false;
  await find('a');
  expect(asked).toEqual(['a', 'nothing', 'a', 'nothing', 'a']);
});

test('forgets what exists no more', async () => {
  let value: string | undefined = 'here';
  const find = createTimedCache(
    async () => {
      if (broken) throw new Error('out of order');
      return value;
    },
    { cacheMs: 100, clock: { nowMs: () => nowMs } },
  );
  expect(await find('a')).toBe('here');
  nowMs = 100;
  value = undefined;
  expect(await find('a')).toBeUndefined();
  nowMs = 200;
  broken = true;
  await expect(find('a')).rejects.toThrow('out of order');
});
