import { parentPort, workerData } from 'node:worker_threads';
import type { Kernels } from '../kernels.ts';
import { loadKernels } from '../load-kernels.ts';

/** What a thread gets: the shared memory, the compiled kernels and one call of `linear`. */
export interface LinearTask {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly parameters: Parameters<Kernels['linear']>;
}

const { memory, module, parameters } = workerData as LinearTask;
loadKernels(memory, module).linear(...parameters);
parentPort!.postMessage('done');
