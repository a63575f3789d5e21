import { expect, test } from 'vitest';
import { type LoadOrder, ReplicaLoader } from './replica-loader.ts';

const LOAD_MS = 4;

/** A loader on a clock that moves while an expert is loaded. */
function openLoader() {
  const state = { nowMs: 1_000, steps: 0, loaded: [] as number[] };
  const loader = new ReplicaLoader(
    ({ expert }) => {
      state.nowMs += LOAD_MS;
      state.loaded.push(expert);
    },
    () => state.steps,
  );
  return { state, run: () => loader.run(() => state.nowMs), loader };
}

const orders = (...experts: number[]): LoadOrder[] =>
  experts.map((expert) => ({ layer: 0, expert, isThere: false }));

test('loads one expert at a time, with pauses while steps are computed', () => {
  const { state, run, loader } = openLoader();
  expect(run()).toBe(Number.POSITIVE_INFINITY);
  loader.add(orders(1, 2), false);
  state.steps++;
  run();
  expect(state.loaded).toEqual([1]);
  state.steps++;
  const pauseMs = run();
  expect(pauseMs).toBe(19 * LOAD_MS);
  expect(state.loaded).toEqual([1]);
  state.nowMs += pauseMs - 1;
  state.steps++;
  expect(run()).toBe(1);
  state.nowMs += 1;
  run();
  expect(state.loaded).toEqual([1, 2]);
  expect(run()).toBe(Number.POSITIVE_INFINITY);
});

test('makes no pauses while there are no steps, or while nobody is served without the experts', () => {
  const { state, run, loader } = openLoader();
  loader.add(orders(1, 2), false);
  run();
  run();
  expect(state.loaded).toEqual([1, 2]);
  loader.add(orders(3), false);
  loader.add(orders(4, 5), true);
  for (let i = 0; i < 3; i++) {
    state.steps++;
    run();
  }
  expect(state.loaded).toEqual([1, 2, 4, 5]);
});
