import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import type { Kernels } from './kernels.ts';
import { loadKernels } from './load-kernels.ts';
import { attentionScratchBytes, quantizedBytes, storedRowBytes, wovenBytes } from './sizes.ts';
import { kernelBed } from './testing/kernel-bed.ts';
import { putMatrix, quantisedMatrix, tilesOf } from './testing/quantised-matrix.ts';
import { widensVectors } from './wide-vectors.ts';

const bed = kernelBed();
const { memory } = bed;
/** A custom section, which says nothing: V8 gives back what it has compiled of the same bytes. */
const NOTHING = Uint8Array.of(0, 2, 1, 0x78);
const bytes = readFileSync(fileURLToPath(new URL('./build/kernels.wasm', import.meta.url)));
const narrow = loadKernels(memory.memory, new WebAssembly.Module(Buffer.concat([bytes, NOTHING])));

/** What a kernel writes to `length` floats with vectors of 256 bits, and with those of 128. */
function both(length: number, run: (kernels: Kernels, output: number) => void): Float32Array[] {
  return [bed.kernels, narrow].map((kernels) => {
    const output = bed.room(length);
    run(kernels, output);
    return memory.floats(output, length);
  });
}

test('is left to the V8 whose code was tested', () => {
  expect(widensVectors('13.6.233.17-node.53')).toBe(process.arch === 'x64');
  expect(widensVectors('14.1.1')).toBe(false);
});

test.each([
  { bits: 4, blockSize: 32, zeroPoints: true } as const,
  { bits: 8, blockSize: 64, zeroPoints: true } as const,
])('changes no bit of a product: %o', (format) => {
  const [n, k] = [24, 200];
  const matrix = quantisedMatrix(n, k, format, 1);
  const weights = putMatrix(bed, matrix);
  for (let rows = 1; rows <= 9; rows++) {
    const source = bed.put(randomNumbers(rows * k, rows));
    const quantised = memory.allocate(quantizedBytes(rows, k, format.blockSize));
    const [wide, expected] = both(rows * n, (kernels, output) => {
      kernels.quantizeRows(source, k, rows, k, format.blockSize, quantised);
      kernels.linear(
        format.bits,
        weights,
        k,
        format.blockSize,
        0,
        tilesOf(matrix),
        quantised,
        rows,
        output,
        n,
      );
    });
    expect(wide).toEqual(expected);
  }
});

test('changes no bit of a product for many rows', () => {
  const [n, k] = [24, 200];
  const matrix = quantisedMatrix(n, k, { bits: 4, blockSize: 32, zeroPoints: true }, 1);
  const weights = putMatrix(bed, matrix);
  const panel = memory.allocate(wovenBytes(k, 32));
  for (let rows = 1; rows <= 9; rows++) {
    const source = bed.put(randomNumbers(rows * k, rows));
    const quantised = memory.allocate(quantizedBytes(rows, k, 32));
    const [wide, expected] = both(rows * n, (kernels, output) => {
      kernels.quantizeWoven(source, k, rows, k, 32, quantised);
      kernels.linearWoven(weights, k, 32, 0, tilesOf(matrix), quantised, rows, output, n, panel);
    });
    expect(wide).toEqual(expected);
  }
});

test.each([1, 3])('changes no bit of attention of %i rows', (rows) => {
  const [length, heads, kvHeads, headSize] = [549, 8, 4, 48];
  const width = kvHeads * headSize;
  const stored = [1, 2].map((seed) => {
    const target = memory.allocate(length * storedRowBytes(kvHeads, headSize));
    narrow.storeRows(bed.put(randomNumbers(length * width, seed)), length, kvHeads, headSize, target);
    return target;
  });
  const queries = bed.put(randomNumbers(rows * heads * headSize, 3));
  const scratch = memory.allocate(attentionScratchBytes(heads, kvHeads, headSize));
  const [wide, expected] = both(rows * heads * headSize, (kernels, output) => {
    const [keys, values] = stored as [number, number];
    kernels.attend(
      queries,
      rows,
      keys,
      values,
      length,
      0,
      kvHeads,
      heads,
      kvHeads,
      headSize,
      0.2,
      output,
      scratch,
    );
  });
  expect(wide).toEqual(expected);
});

test('changes no bit of the gate', () => {
  const gates = bed.put(randomNumbers(64, 1));
  const values = randomNumbers(64, 2);
  const [wide, expected] = both(64, (kernels, output) => {
    memory.floats(output, 64).set(values);
    kernels.gate(gates, output, 64);
  });
  expect(wide).toEqual(expected);
});
