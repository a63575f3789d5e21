import { expect, test } from 'vitest';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { ExpertRoom } from './expert-room.ts';

const EXPERTS = 6;
const BYTES = [256, 0, 128];

/** Experts 0 and 1 of layer 0, and 0 to 2 of layer 2 are placed; layer 1 is not in kernel memory. */
function openRoom(spare: number) {
  const memory = new KernelMemory(2 ** 22);
  const buffer = new SharedArrayBuffer(4 * BYTES.length * EXPERTS);
  const offsets = new Int32Array(buffer);
  for (const [layer, held] of [2, 0, 3].entries()) {
    for (let expert = 0; expert < held; expert++) {
      offsets[layer * EXPERTS + expert] = memory.allocate(BYTES[layer]!);
    }
  }
  const room = new ExpertRoom(buffer, EXPERTS, BYTES);
  room.reserve(memory, spare);
  return { memory, offsets, room };
}

test('gives experts that come places of their own, without growing the memory, and takes them back', () => {
  const { memory, offsets, room } = openRoom(2);
  const { byteLength } = memory.memory.buffer;
  expect([room.holds(0), room.holds(1), room.spareExperts, room.holdsAll]).toEqual([true, false, 2, false]);
  expect([4, 5, 3].map((expert) => room.take(0, expert))).toEqual([true, true, false]);
  const placed = [...offsets].filter((offset) => offset !== 0);
  expect(new Set(placed).size).toBe(7);
  expect(Math.max(...placed) + 256).toBeLessThanOrEqual(byteLength);
  const before = offsets[4];
  room.give(0, 4);
  expect(offsets[4]).toBe(0);
  expect(room.take(0, 3)).toBe(true);
  expect(offsets[3]).toBe(before);
  expect(memory.memory.buffer.byteLength).toBe(byteLength);
});

test('has no more room than the model has experts', () => {
  const { room } = openRoom(100);
  expect([room.spareExperts, room.holdsAll]).toEqual([4, true]);
  expect([2, 3, 4, 5].every((expert) => room.take(0, expert))).toBe(true);
});
