import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { BandwidthSpan, BandwidthWork } from './bandwidth-worker.ts';

/** Far beyond any cache of one core's share. */
const BYTES = 2 ** 28;
const PASSES = 8;
const ROUNDS = 3;

/**
 * How fast this machine reads memory: threads that each sum an array of their own, like the reading half of STREAM. It bounds
 * what decoding can reach, since each step reads the weights of all activated experts.
 *
 * @returns GB/s of all threads together, the best of three rounds
 */
export async function readBandwidth(threads: number): Promise<number> {
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) best = Math.max(best, await measure(threads));
  return Math.round(best * 10) / 10;
}

async function measure(threads: number): Promise<number> {
  const work: BandwidthWork = { bytes: BYTES, passes: PASSES, threads, ready: new SharedArrayBuffer(4) };
  const spans = await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL('./bandwidth-worker.ts', import.meta.url), { workerData: work });
      const [span] = (await once(worker, 'message')) as [BandwidthSpan];
      await worker.terminate();
      return span;
    }),
  );
  const fromMs = Math.min(...spans.map(({ startedAtMs }) => startedAtMs));
  const untilMs = Math.max(...spans.map(({ endedAtMs }) => endedAtMs));
  return (threads * BYTES * PASSES) / (untilMs - fromMs) / 1e6;
}
