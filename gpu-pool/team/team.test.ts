import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { Team } from './team.ts';
import { HelperLostError, TeamBoard } from './team-board.ts';

/** A helper thread that takes a chunk, says so, and never does it. */
const HANGING_HELPER = `
const { workerData } = require('node:worker_threads');
(async () => {
  const { TeamBoard } = await import(workerData.module);
  const board = new TeamBoard(workerData.board);
  const taken = new Int32Array(workerData.taken);
  for (;;) {
    board.help(() => {
      Atomics.store(taken, 0, 1);
      Atomics.wait(taken, 1, 0);
    });
  }
})();
`;

test('where a helper ends with a part of a task, the task fails and the leader goes on alone', async () => {
  const board = new TeamBoard();
  const taken = new Int32Array(new SharedArrayBuffer(8));
  const module = new URL('./team-board.ts', import.meta.url).href;
  const workerData = { module, board: board.buffer, taken: taken.buffer };
  const helper = new Worker(HANGING_HELPER, { eval: true, workerData });
  onTestFinished(async () => void (await helper.terminate()));
  let covered = 0;
  const team = new Team({
    board,
    run: (_, __, begin, end) => {
      covered += end - begin;
    },
    helpers: 1,
    wake: () => {
      while (Atomics.load(taken, 0) === 0);
    },
    spinMs: 0,
    isHelperLost: () => true,
  });
  expect(() => team.run(0, [], 16, 0)).toThrow(HelperLostError);
  expect(covered).toBeLessThan(16);
  covered = 0;
  team.run(0, [], 16, 0);
  expect(covered).toBe(16);
}, 20_000);
