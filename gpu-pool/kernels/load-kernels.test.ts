import { join } from 'node:path';
import { expect, test } from 'vitest';
import { kernelsRun } from './kernel-support.ts';
import { compileKernels, loadKernels } from './load-kernels.ts';
import { buildKernels } from './testing/kernel-bed.ts';

test('names the missing file and the command that builds it', () => {
  const path = join(import.meta.dirname, 'build', 'absent.wasm');
  expect(() => compileKernels(path)).toThrow(/absent\.wasm is missing: run npm run setup/);
});

test('refuses a file that is not a module, naming it', () => {
  expect(() => compileKernels(import.meta.filename)).toThrow(/kernels\.test\.ts does not compile/);
});

test('refuses a memory that is not shared', () => {
  buildKernels();
  const descriptor = { initial: 1, maximum: 1, shared: false as unknown as true };
  expect(() => loadKernels(new WebAssembly.Memory(descriptor))).toThrow(/must be shared/);
});

test('this machine runs the kernels', () => {
  expect(kernelsRun()).toBe(true);
});
