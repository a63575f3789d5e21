import { describe, expect, test } from 'vitest';
import {
  barrierFactor,
  busyAttention,
  type ContentionCost,
  NO_CONTENTION,
  type PerformanceModel,
  predictTpot,
  rowsTogether,
} from './performance-model.ts';

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

  test('several rows are computed otherwise than one, and by some instances where they have one and two', () => {
    const several = { ...MODEL, attention: { ...MODEL.attention, floorMs: 0, severalMs: 2 } };
    const more = [1, 1.25, 2, 8].map((rows) => {
      const operation = { attention: 4, experts: 4, batch: 4 * rows, context: 0, aMax: 1 };
      const flat = { ...MODEL, attention: { ...MODEL.attention, floorMs: 0 } };
      return predictTpot(several, operation).attentionMs - predictTpot(flat, operation).attentionMs;
    });
    expect(more.map((ms) => ms / MODEL.layers)).toEqual([0, 0.5, 2, 2].map((ms) => expect.closeTo(ms, 9)));
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
  const on = (count: number, contention?: Partial<ContentionCost>): PerformanceModel => ({
    ...MODEL,
    stepsApart: true,
    shared: { count, helping: false },
    ...(contention && { contention: { ...NO_CONTENTION, ...contention } }),
  });

  test('take as long as ever while there are enough of them, and in proportion where there are not', () => {
    const { expertsMs, totalMs } = predictTpot(MODEL, operation);
    expect(predictTpot(on(4), operation).totalMs).toBeCloseTo(totalMs, 9);
    expect(predictTpot(on(2), operation).expertsMs).toBeCloseTo(2 * expertsMs, 9);
  });

  test('compute experts one after the other where threads that are woken stay on one processor', () => {
    const { expertsMs } = predictTpot(MODEL, operation);
    expect(predictTpot(on(4, { parallelShare: 0 }), operation).expertsMs).toBeCloseTo(4 * expertsMs, 9);
    expect(predictTpot(on(4, { parallelShare: 1 / 3 }), operation).expertsMs).toBeCloseTo(2 * expertsMs, 9);
  });

  test('take longer with each expert instance that a layer step is spread over', () => {
    const { linkMs } = predictTpot(on(4), operation);
    const spread = predictTpot(on(4, { spreadMs: 0.5 }), operation);
    expect(spread.linkMs - linkMs).toBeCloseTo(MODEL.layers * 3 * 0.5, 9);
  });

  test('of one host help each other, and wait for threads that have no processor while there is one to help', () => {
    const helping = { ...on(2, { crowding: 0.5 }), shared: { count: 2, helping: true } };
    const alone = predictTpot(helping, { ...operation, experts: 1, aMax: 12 }).totalMs;
    const without = predictTpot({ ...helping, contention: NO_CONTENTION }, operation).totalMs;
    expect(without).toBeCloseTo(alone, 9);
    // Of five threads three have no processor.
    expect(predictTpot(helping, operation).totalMs).toBeCloseTo(1.3 * alone, 9);
    const two = { ...operation, attention: 2 };
    const uncrowded = { ...helping, contention: NO_CONTENTION };
    expect(predictTpot(helping, two).totalMs).toBeCloseTo(predictTpot(uncrowded, two).totalMs, 9);
  });

  test('take what all their work takes the processors, where that is more than one step takes alone', () => {
    const contention = { workFactor: 1.5, besideMs: 6, besideInstanceMs: 1 };
    const four = { ...operation, attention: 4, experts: 1 };
    const alone = predictTpot(MODEL, { ...four, attention: 1, batch: 4 }).totalMs;
    expect(predictTpot(on(2, contention), four).totalMs).toBeCloseTo((4 * (1.5 * alone + 7)) / 2, 9);
    const one = { ...four, attention: 1 };
    expect(predictTpot(on(8, contention), one).totalMs).toBeCloseTo(predictTpot(MODEL, one).totalMs, 9);
  });

  test('queue for experts that compute slower beside them than alone', () => {
    const three = { ...operation, attention: 3, experts: 1, context: 0 };
    const cycleMs = predictTpot(on(3), three).totalMs;
    const slower = predictTpot(on(3, { workFactor: 1.25 }), three).totalMs;
    expect(slower).toBeCloseTo(1.25 * cycleMs, 9);
    const measured = on(3, { workFactor: 1.25, besideFactor: 1.5 });
    expect(predictTpot(measured, three).totalMs).toBeCloseTo(1.5 * cycleMs, 9);
  });

  test('of hosts that take sequences off one queue, some are idle by chance while there are few', () => {
    const apart = { ...on(2), queuedApart: true };
    // Of two, one is missed by both sequences with a probability of a quarter each.
    expect(busyAttention(apart, 2, 2)).toBeCloseTo(1.5, 9);
    expect(rowsTogether(apart, 2, 3)).toBeCloseTo(3 / 1.75, 9);
    expect(busyAttention(on(2), 4, 3)).toBe(3);
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
