import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { allocateTraceMemory, readTraceMemory, TraceSampler } from './trace-sampler.ts';

const SHAPE = { layers: 2, experts: 600, expertsPerToken: 2 };

/** Rows [e, e + 1] for each given e. */
const rowsFrom = (...firsts: number[]): Int32Array =>
  Int32Array.from(firsts.flatMap((first) => [first, first + 1]));

const windowsOf = (trace: ActivationTrace): number[][] => [0, 1].map((layer) => [...trace.window(layer)]);

test('one step of so many is sampled, the first among them, with all its layers', () => {
  const memory = allocateTraceMemory(SHAPE, 8);
  const sampler = new TraceSampler(memory, 3);
  for (const step of [0, 10, 20, 30, 40]) {
    sampler.sample(0, rowsFrom(step), 1);
    sampler.sample(1, rowsFrom(step + 500), 1);
  }
  expect(windowsOf(readTraceMemory(memory))).toEqual([[...rowsFrom(0, 30)], [...rowsFrom(500, 530)]]);
});

test('steps are told apart also where the first layers have no experts', () => {
  const memory = allocateTraceMemory(SHAPE, 8);
  const sampler = new TraceSampler(memory, 2);
  for (const step of [0, 10, 20]) sampler.sample(1, rowsFrom(step), 1);
  expect(windowsOf(readTraceMemory(memory))).toEqual([[], [...rowsFrom(0, 20)]]);
});

test('the window keeps the newest rows, also of a step that is larger than it', () => {
  const memory = allocateTraceMemory(SHAPE, 3);
  const sampler = new TraceSampler(memory, 1);
  sampler.sample(0, rowsFrom(1, 2), 2);
  sampler.sample(0, rowsFrom(3, 4, 900), 2);
  sampler.sample(1, rowsFrom(1, 2, 3, 4, 5), 5);
  expect(windowsOf(readTraceMemory(memory))).toEqual([[...rowsFrom(2, 3, 4)], [...rowsFrom(3, 4, 5)]]);
});

test('a reader on another thread never sees half of a step', async () => {
  const memory = allocateTraceMemory({ layers: 1, experts: 600, expertsPerToken: 2 }, 64);
  // The writer fills the whole window with one expert per step, so a window with two of them is a torn one.
  const writer = new Worker(
    `import { TraceSampler } from ${JSON.stringify(new URL('./trace-sampler.ts', import.meta.url).href)};
     import { workerData } from 'node:worker_threads';
     const sampler = new TraceSampler(workerData, 1);
     for (let step = 0; step < 60_000; step++) sampler.sample(0, new Int32Array(128).fill(step % 600), 64);`,
    { eval: true, workerData: memory, execArgv: ['--input-type=module'] },
  );
  const seen = new Set<number>();
  const ended = new Promise<void>((resolve, reject) => {
    writer.once('exit', () => resolve());
    writer.once('error', reject);
  });
  let running = true;
  void ended.finally(() => {
    running = false;
  });
  while (running) {
    for (let read = 0; read < 200; read++) {
      const window = readTraceMemory(memory).window(0);
      expect(new Set(window).size).toBeLessThanOrEqual(1);
      if (window.length > 0) seen.add(window[0]!);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  expect(seen.size).toBeGreaterThan(10);
});

test('a sampling rate that is no whole number is refused', () => {
  expect(() => new TraceSampler(allocateTraceMemory(SHAPE, 1), 0)).toThrow(/stepsPerSample is 0/);
});
