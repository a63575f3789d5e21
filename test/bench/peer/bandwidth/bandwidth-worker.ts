import { parentPort, workerData } from 'node:worker_threads';
import { sumModule } from './sum-module.ts';

/** What one thread of the bandwidth measurement is started with. */
export interface BandwidthWork {
  readonly bytes: number;
  readonly passes: number;
  readonly threads: number;
  /** One word: threads that are ready to begin. */
  readonly ready: SharedArrayBuffer;
}

export interface BandwidthSpan {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const { bytes, passes, threads, ready } = workerData as BandwidthWork;
const instance = new WebAssembly.Instance(new WebAssembly.Module(sumModule(bytes)));
const { memory, sum } = instance.exports as {
  memory: WebAssembly.Memory;
  sum: (from: number, to: number) => number;
};
// Memory that was never written is one page of zeros.
new Uint8Array(memory.buffer).fill(1);
// The first pass is compiled by the optimising compiler while the others wait.
sum(0, bytes);
const waiting = new Int32Array(ready);
if (Atomics.add(waiting, 0, 1) + 1 === threads) Atomics.notify(waiting, 0);
for (let seen = Atomics.load(waiting, 0); seen < threads; seen = Atomics.load(waiting, 0)) {
  Atomics.wait(waiting, 0, seen);
}
const clock = (): number => performance.timeOrigin + performance.now();
const startedAtMs = clock();
for (let pass = 0; pass < passes; pass++) sum(0, bytes);
parentPort!.postMessage({ startedAtMs, endedAtMs: clock() } satisfies BandwidthSpan);
