import { expect, test } from 'vitest';
import { attentionPartBytes, attentionScratchBytes, storedRowBytes } from '../../kernels/sizes.ts';
import { kernelBed } from '../../kernels/testing/kernel-bed.ts';
import { randomNumbers } from '../testing/tiny-model.ts';
import { kernelTasks, TaskKind } from './kernel-tasks.ts';
import { QuantizedProducts } from './quantized-products.ts';
import { SPAN_WORDS, SpanTable } from './span-table.ts';

const [HEADS, KV_HEADS, HEAD_SIZE] = [6, 2, 32];
const ROW = HEADS * HEAD_SIZE;
/** Of one segment, of two, of exactly two, and of four. */
const LENGTHS = [70, 700, 1_024, 1_800];

const bed = kernelBed();
const { kernels, memory } = bed;
const products = new QuantizedProducts(kernels, memory.memory, null);
const newThread = () =>
  kernelTasks(
    kernels,
    products,
    memory.memory,
    memory.allocate(attentionScratchBytes(HEADS, KV_HEADS, HEAD_SIZE)),
  );

function storedRows(length: number, seed: number): Float32Array {
  const bytes = length * storedRowBytes(KV_HEADS, HEAD_SIZE);
  const target = memory.allocate(bytes);
  const rows = bed.put(randomNumbers(length * KV_HEADS * HEAD_SIZE, seed));
  kernels.storeRows(rows, length, KV_HEADS, HEAD_SIZE, target);
  return memory.floats(target, bytes / 4);
}

const spans = LENGTHS.map((length, firstRow) => ({
  firstRow,
  rows: 1,
  keys: storedRows(length, 2 * firstRow),
  values: storedRows(length, 2 * firstRow + 1),
  length,
}));
const table = new SpanTable(
  memory.memory.buffer,
  memory.allocate(4 * SPAN_WORDS * LENGTHS.length),
  LENGTHS.length,
);
const queries = bed.put(randomNumbers(LENGTHS.length * ROW, 100));
// They see the memory that there is when they are made.
const threads = [newThread(), newThread()] as const;

/** Computes ranges of a task's units in the order given, by the threads in turn. */
function outputOf(kind: number, ranges: readonly (readonly [begin: number, end: number])[]): Float32Array {
  const { segments } = table.write(spans, spans.length, false);
  const output = bed.room(LENGTHS.length * ROW);
  const parts = memory.allocate(segments * attentionPartBytes(HEADS, KV_HEADS, HEAD_SIZE));
  const words = Int32Array.of(table.offset, queries, output, HEADS, KV_HEADS, HEAD_SIZE, parts);
  for (const [i, [begin, end]] of ranges.entries()) threads[i % 2]!(kind, words, begin, end);
  return memory.floats(output, LENGTHS.length * ROW).slice();
}

test.each([
  ['one by one', Array.from({ length: 9 }, (_, i) => [i, i + 1] as const)],
  ['the last one first', Array.from({ length: 9 }, (_, i) => [8 - i, 9 - i] as const)],
  [
    'in ranges across sequences',
    [
      [4, 9],
      [0, 2],
      [2, 4],
    ] as const,
  ],
])('gives the bits of whole sequences where their segments are computed %s', (_, ranges) => {
  const whole = outputOf(TaskKind.attend, [[0, LENGTHS.length * KV_HEADS]]);
  expect(whole.every(Number.isFinite)).toBe(true);
  expect(outputOf(TaskKind.attendSegments, ranges)).toEqual(whole);
});
