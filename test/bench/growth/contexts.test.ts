import { expect, it } from 'vitest';
import { kvBytesPerToken } from '../peer/measure/bytes-per-step.ts';
import { growthOf } from './contexts.ts';

it('compares the growth of a step with what reading the additional keys and values takes', () => {
  // 1 GB more at 10 GB/s takes 100 ms; the second round ran at half the speed.
  const steps = new Map([
    [64, [60, 120, 60].map((ms) => ({ ms, bytes: 1e8, allBytes: 5e8 }))],
    [1_024, [210, 420, 210].map((ms) => ({ ms, bytes: 1.1e9, allBytes: 1.5e9 }))],
  ]);
  const [short, long] = growthOf(16, steps, 10);
  expect(short).toMatchObject({
    context: 64,
    msPerStep: 60,
    kvMbPerStep: 100,
    moreMs: 0,
    moreOverBytes: '–',
  });
  expect(long).toMatchObject({
    context: 1_024,
    msMost: 420,
    moreMs: 150,
    moreBytesMs: 100,
    moreOverBytes: 1.5,
    overShortest: 3.5,
    bytesOverShortest: 3,
  });
});

it('counts keys and values of all layers as f32', () => {
  const config = { layers: 16, keyValueHeads: 8, headSize: 64 } as Parameters<typeof kvBytesPerToken>[0];
  expect(kvBytesPerToken(config, 'f32')).toBe(64 * 1_024);
  expect(kvBytesPerToken(config, 'int4')).toBe(33 * 1_024);
});
