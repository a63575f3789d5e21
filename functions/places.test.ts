import { expect, it } from 'vitest';
import { createPlaces } from './places.ts';

it('takes so many guests and no more, until one leaves', () => {
  const places = createPlaces<string>(2);
  const leave = places.enter('a', 1_000);
  places.enter('b', 1_000);
  expect(places.enter('c', 1_000)).toBeNull();
  expect([...places.guests()]).toEqual(['a', 'b']);
  leave!();
  leave!();
  expect(places.enter('c', 1_000)).not.toBeNull();
  expect([...places.guests()]).toEqual(['b', 'c']);
  expect(places.size()).toBe(2);
});

it('gives the place of a guest who never left to another one, when his time is over', () => {
  let nowMs = 0;
  const places = createPlaces<string>(1, { nowMs: () => nowMs });
  const leaveLate = places.enter('lost', 100);
  nowMs = 99;
  expect(places.enter('next', 100)).toBeNull();
  nowMs = 100;
  expect(places.enter('next', 100)).not.toBeNull();
  leaveLate!();
  expect([...places.guests()]).toEqual(['next']);
});
