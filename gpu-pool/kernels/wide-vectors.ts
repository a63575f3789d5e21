import { setFlagsFromString } from 'node:v8';

/*
 * WebAssembly's vectors have 128 bits, those of processors with AVX2 have 256. V8 joins two of the same kind to one where both are
 * stored side by side, or where they are added (`together` in assembly/simd.ts says so of sums): the loops then take half as many
 * instructions. It computes each number as before, so results are the same bit for bit. V8 calls that experimental and does it
 * where a flag is set; where the flag or AVX2 is missing, the kernels are compiled as they are written.
 */

/** The V8 of Node 24, with which the kernels are tested. */
const TESTED_VERSION = /^13\.6\./;
/** Everything is compiled for good while the flag is set, and nothing later, since other modules shall not be compiled with it. */
const WHILE_COMPILING = [
  '--experimental-wasm-revectorize',
  '--no-liftoff',
  '--no-wasm-lazy-compilation',
] as const;
const OTHERWISE = ['--no-experimental-wasm-revectorize', '--liftoff', '--wasm-lazy-compilation'] as const;

/** True where `compileWide` lets V8 use wide vectors. */
export function widensVectors(version: string = process.versions.v8): boolean {
  return process.arch === 'x64' && TESTED_VERSION.test(version);
}

/** Compiles a module whole, with vectors of 256 bits where the machine has them. @throws WebAssembly.CompileError */
export function compileWide(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  if (!widensVectors()) return new WebAssembly.Module(bytes);
  WHILE_COMPILING.forEach(setFlag);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    OTHERWISE.forEach(setFlag);
  }
}

function setFlag(flag: string): void {
  setFlagsFromString(flag);
}
