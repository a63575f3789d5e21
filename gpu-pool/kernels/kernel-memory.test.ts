import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KernelMemory } from './kernel-memory.ts';

const MEBIBYTE = 2 ** 20;

describe('KernelMemory', () => {
  test('never gives out the same byte twice, whatever was freed', () => {
    const action = fc.record({ size: fc.constantFrom(1, 64, 100, 4096, 70_000), frees: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const memory = new KernelMemory(64 * MEBIBYTE);
        const held: { offset: number; size: number }[] = [];
        for (const { size, frees } of actions) {
          const at = frees ? held.findIndex((range) => range.size === size) : -1;
          if (at >= 0) {
            memory.free(held[at]!.offset, size);
            held.splice(at, 1);
            continue;
          }
          const offset = memory.allocate(size);
          expect(offset % 64).toBe(0);
          expect(offset).toBeGreaterThanOrEqual(1024);
          for (const other of held) {
            expect(offset + size <= other.offset || other.offset + other.size <= offset).toBe(true);
          }
          held.push({ offset, size });
        }
      }),
      { numRuns: 50 },
    );
  });

  test('uses freed memory again and counts what is in use', () => {
    const memory = new KernelMemory(MEBIBYTE);
    for (let round = 0; round < 100; round += 1) {
      const expert = memory.allocate(700_000);
      expect(memory.allocatedBytes).toBe(700_032);
      memory.free(expert, 700_000);
    }
    expect(memory.allocatedBytes).toBe(0);
  });

  test('grows, and keeps what was written through earlier views', () => {
    const memory = new KernelMemory(64 * MEBIBYTE);
    const first = memory.floats(memory.allocate(64), 16);
    first.fill(3);
    const offset = memory.allocate(40 * MEBIBYTE);
    memory.bytes(offset, 40 * MEBIBYTE).fill(9);
    expect(first.every((value) => value === 3)).toBe(true);
    expect(memory.integers(offset, 1)[0]).toBe(0x09090909);
  });

  test('says that it is full, how full, and what to do', () => {
    const memory = new KernelMemory(2 * MEBIBYTE);
    memory.allocate(MEBIBYTE);
    expect(() => memory.allocate(2 * MEBIBYTE)).toThrow(/full: 1\.0 MiB of 2\.0 MiB .* fewer experts/);
    expect(memory.allocate(MEBIBYTE / 2)).toBeGreaterThan(0);
  });

  test('refuses sizes that make no sense', () => {
    expect(() => new KernelMemory(2 ** 33)).toThrow(/4 GiB/);
    expect(() => new KernelMemory(MEBIBYTE).allocate(Number.NaN)).toThrow(/NaN/);
  });
});
