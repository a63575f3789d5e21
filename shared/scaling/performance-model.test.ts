import { describe, expect, test } from 'vitest';
import { barrierFactor, type PerformanceModel, predictTpot, rowsTogether } from './performance-model.ts';

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

describe('instances that share processors', () => {
  const operation = { attention: 1, experts: 4, batch: 16, context: 500, aMax: 3 };
  const on = (count: number, helping = false): PerformanceModel => ({ ...MODEL, shared: { count, helping } });

  test('take as long as ever while there are enough of them, and in proportion where there are not', () => {
    const { expertsMs } = predictTpot(MODEL, operation);
    expect(predictTpot(on(4), operation).expertsMs).toBeCloseTo(expertsMs, 9);
    expect(predictTpot(on(2), operation).expertsMs).toBeCloseTo(2 * expertsMs, 9);
    const attention = { ...operation, attention: 4 };
    const ratio = predictTpot(on(2), attention).attentionMs / predictTpot(MODEL, attention).attentionMs;
    expect(ratio).toBeCloseTo(2, 9);
  });

  test('send one message after the other where each expert instance is a host of its own', () => {
    const { linkMs } = predictTpot(MODEL, operation);
    expect(predictTpot(on(8), operation).linkMs).toBeCloseTo(linkMs, 9);
    const apart = { ...MODEL, shared: { count: 8, helping: false, expertsApart: true } };
    expect(predictTpot(apart, operation).linkMs).toBeCloseTo(4 * linkMs, 9);
  });

  test('share the work where they help each other: an attention thread is one more for the experts', () => {
    const { expertsMs } = predictTpot(MODEL, operation);
    expect(predictTpot(on(8, true), operation).expertsMs).toBeCloseTo((4 / 5) * expertsMs, 9);
    expect(predictTpot(on(2, true), operation).expertsMs).toBeCloseTo(2 * expertsMs, 9);
  });
});

describe('attention instances that send their layer steps apart', () => {
  const apart: PerformanceModel = { ...MODEL, stepsApart: true };

  test('one is as fast as ever, and several have only their own rows in a layer step', () => {
    const alone = { attention: 1, experts: 4, batch: 16, context: 500, aMax: 3 };
    expect(predictTpot(apart, alone).totalMs).toBeCloseTo(predictTpot(MODEL, alone).totalMs, 9);
    expect([rowsTogether(MODEL, 4, 16), rowsTogether(apart, 4, 16)]).toEqual([16, 4]);
  });

  test('wait for each other at the experts, and for processors', () => {
    const operation = { attention: 4, experts: 1, batch: 16, context: 0, aMax: 12 };
    const { layers, experts } = MODEL;
    const servedMs = experts.fixedMs + experts.perActivatedMs * 12 + experts.perRowMs * 8;
    const { totalMs } = predictTpot(apart, operation);
    // The experts serve four layer steps per round, one after the other.
    expect(totalMs).toBeGreaterThanOrEqual(layers * 4 * servedMs);
    const one = predictTpot({ ...apart, shared: { count: 1, helping: false } }, operation);
    const work = predictTpot(apart, { ...operation, attention: 1, batch: 4 });
    expect(one.totalMs).toBeCloseTo(4 * work.totalMs, 9);
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
