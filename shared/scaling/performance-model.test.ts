import { describe, expect, test } from 'vitest';
import { barrierFactor, type PerformanceModel, predictTpot } from './performance-model.ts';

const MODEL: PerformanceModel = {
  layers: 10,
  expertsPerToken: 2,
  attention: { floorMs: 1, perRowMs: 0.5, perContextTokenMs: 0.001 },
  experts: { fixedMs: 0.25, perActivatedMs: 0.5, perRowMs: 0.125 },
  link: { fixedMs: 0.1, perRowMs: 0.01 },
  step: { fixedMs: 2, perRowMs: 0.25 },
  attentionVariation: 0,
};

describe('predictTpot', () => {
  test('adds up what the paper has per layer, and the step', () => {
    const parts = predictTpot(MODEL, { attention: 2, experts: 4, batch: 16, context: 500, aMax: 3 });
    // Eight rows an instance: 8 · 0.5 + 8 · 500 · 0.001 per layer; 16 · 2 / 4 rows of experts.
    expect(parts.attentionMs).toBeCloseTo(80, 9);
    expect(parts.expertsMs).toBeCloseTo(10 * (0.25 + 1.5 + 1), 9);
    expect(parts.linkMs).toBeCloseTo(10 * 0.26, 9);
    expect(parts.stepMs).toBeCloseTo(4, 9);
    expect(parts.totalMs).toBeCloseTo(80 + 27.5 + 2.6 + 4, 9);
  });

  test('attention never takes less than its floor', () => {
    const parts = predictTpot(MODEL, { attention: 4, experts: 4, batch: 1, context: 0, aMax: 1 });
    expect(parts.attentionMs).toBe(10);
  });

  test('more attention instances wait for the slowest of them', () => {
    const uneven = { ...MODEL, attentionVariation: 0.1 };
    const operation = { attention: 8, experts: 4, batch: 64, context: 500, aMax: 3 };
    const ratio = predictTpot(uneven, operation).attentionMs / predictTpot(MODEL, operation).attentionMs;
    expect(ratio).toBeCloseTo(barrierFactor(8, 0.1), 9);
  });
});

describe('barrierFactor', () => {
  test('is that of the largest of n normal draws', () => {
    expect(barrierFactor(1, 0.2)).toBe(1);
    // Expected largest of n standard normal draws: 0.564, 1.029, 1.424, 2.368 for n = 2, 4, 8, 64.
    for (const [instances, largest] of [
      [2, 0.564],
      [4, 1.029],
      [8, 1.424],
      [64, 2.368],
    ] as const) {
      expect(barrierFactor(instances, 1) - 1).toBeCloseTo(largest, 1);
    }
  });
});
