import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KernelMemory } from '../kernel-memory.ts';
import type { Kernels } from '../kernels.ts';
import { compileKernels, loadKernels } from '../load-kernels.ts';

/** Kernels on a memory of their own, and the two steps of every test: put arguments there, look at results. */
export interface KernelBed {
  readonly memory: KernelMemory;
  readonly module: WebAssembly.Module;
  readonly kernels: Kernels;
  /** Copies `data` into the memory; returns where it lies. */
  put(data: Float32Array | Int32Array | Uint8Array): number;
  /** Room for `length` floats, filled with NaN so that what a kernel leaves out shows; returns where it lies. */
  room(length: number): number;
}

/** Builds the kernels as the set-up does, if they are not up to date. */
export function buildKernels(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../build.mjs', import.meta.url))]);
}

export function kernelBed(): KernelBed {
  buildKernels();
  const module = compileKernels();
  const memory = new KernelMemory();
  return {
    memory,
    module,
    kernels: loadKernels(memory.memory, module),
    put(data) {
      const offset = memory.allocate(data.byteLength);
      memory
        .bytes(offset, data.byteLength)
        .set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return offset;
    },
    room(length) {
      const offset = memory.allocate(4 * length);
      memory.floats(offset, length).fill(Number.NaN);
      return offset;
    },
  };
}
