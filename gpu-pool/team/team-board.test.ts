import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { TASK_CHUNK_LIMIT, TeamBoard } from './team-board.ts';

/** A helper thread: adds 1 to each unit of the array that the task names, as long as it is told to. */
const HELPER = `
const { workerData } = require('node:worker_threads');
(async () => {
  const { TeamBoard } = await import(workerData.module);
  const board = new TeamBoard(workerData.board);
  const counts = new Int32Array(workerData.counts);
  const stop = new Int32Array(workerData.stop);
  while (Atomics.load(stop, 0) === 0) {
    board.help((kind, [offset, amount], begin, end) => {
      for (let i = begin; i < end; i++) Atomics.add(counts, offset + i, amount);
    });
  }
})();
`;

function startHelpers(board: TeamBoard, counts: SharedArrayBuffer, threads: number): () => Promise<void> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL('./team-board.ts', import.meta.url).href;
  const workerData = { module, board: board.buffer, counts, stop: stop.buffer };
  const workers = Array.from({ length: threads }, () => new Worker(HELPER, { eval: true, workerData }));
  return async () => {
    Atomics.store(stop, 0, 1);
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  };
}

test('every unit of many tasks is computed once, with the arguments of its own task', async () => {
  const tasks = 3_000;
  const room = 64;
  const board = new TeamBoard();
  const counts = new Int32Array(new SharedArrayBuffer(tasks * room * 4));
  const stop = startHelpers(board, counts.buffer, 2);
  onTestFinished(stop);
  let byLeader = 0;
  let chunks = 0;
  for (let task = 0; task < tasks; task++) {
    const units = 1 + ((task * 7) % room);
    board.open(1, [task * room, task + 1], units, 1 + (task % 5));
    byLeader += board.help((_, [offset, amount], begin, end) => {
      for (let i = begin; i < end; i++) Atomics.add(counts, offset! + i, amount!);
    });
    chunks += Math.ceil(units / (1 + (task % 5)));
    board.finish(0);
    for (let i = 0; i < room; i++) expect(counts[task * room + i]).toBe(i < units ? task + 1 : 0);
  }
  // Nothing is proved unless others took part.
  expect(byLeader).toBeLessThan(chunks);
}, 20_000);

test('a task of more units than chunks is cut coarsely', () => {
  const board = new TeamBoard();
  const units = 3 * TASK_CHUNK_LIMIT + 5;
  board.open(0, [], units, 1);
  let covered = 0;
  const taken = board.help((_, __, begin, end) => {
    expect(begin).toBe(covered);
    covered = end;
  });
  expect(covered).toBe(units);
  expect(taken).toBeLessThanOrEqual(TASK_CHUNK_LIMIT);
  expect(board.help(() => {})).toBe(0);
});

test('a chunk that fails makes the task fail, and the next task is not touched by it', () => {
  const board = new TeamBoard();
  board.open(0, [], 4, 1);
  board.help((_, __, begin) => {
    if (begin >= 2) throw new Error(`no unit ${begin}`);
  });
  expect(() => board.finish(0)).toThrow(/could not be computed: Error: no unit 2$/);
  board.open(0, [], 4, 1);
  board.help(() => {});
  expect(() => board.finish(0)).not.toThrow();
});
