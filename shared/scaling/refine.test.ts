import { describe, expect, test } from 'vitest';
import { type Operation, type PerformanceModel, predictTpot } from './performance-model.ts';
import { corrected, correctionOf, driftOf, refine, UNREFINED } from './refine.ts';

const MODEL: PerformanceModel = {
  layers: 6,
  expertsPerToken: 4,
  attention: { floorMs: 0.05, perRowMs: 0.02, perContextTokenMs: 0.0001 },
  experts: { fixedMs: 0.05, perActivatedMs: 0.02, perRowMs: 0.001 },
  link: { fixedMs: 0.05, perRowMs: 0.001 },
  step: { fixedMs: 0.5, perRowMs: 0.05 },
  attentionVariation: 0.1,
};
const OPERATION: Operation = { attention: 2, experts: 3, batch: 12, context: 200, aMax: 9 };

const refinementAfter = (ratios: readonly number[]) =>
  ratios.reduce((refinement, ratio) => refine(refinement, 10 * ratio, 10), UNREFINED);

describe('refine', () => {
  test('leaves a profile that fits as it is', () => {
    const refinement = refinementAfter(Array.from({ length: 50 }, () => 1));
    expect(correctionOf(refinement)).toBeCloseTo(1, 9);
    expect(driftOf(refinement)).toBeCloseTo(0, 6);
  });

  test('follows a machine that became slower by half, and tells how far the profile is off', () => {
    const refinement = refinementAfter(Array.from({ length: 200 }, () => 1 / 1.5));
    expect(correctionOf(refinement)).toBeCloseTo(1.5, 2);
    expect(driftOf(refinement)).toBeCloseTo(1 / 3, 2);
  });

  test('one odd measurement moves it little, and is forgotten', () => {
    const odd = refinementAfter([0.25]);
    expect(correctionOf(odd)).toBeLessThan(1.2);
    const later = Array.from({ length: 150 }).reduce<typeof odd>((held) => refine(held, 10, 10), odd);
    expect(correctionOf(later)).toBeCloseTo(1, 2);
  });

  test('is the least squares of relative errors where they scatter', () => {
    const ratios = [0.8, 1.1, 0.9, 1.2];
    const plain = ratios.reduce((held, ratio) => refine(held, ratio, 1), {
      weight: 0,
      ratios: 0,
      squares: 0,
    });
    const factor = correctionOf(plain);
    const error = (times: number): number =>
      ratios.reduce((sum, ratio, i) => sum + 0.97 ** (ratios.length - 1 - i) * (times * ratio - 1) ** 2, 0);
    expect(error(factor)).toBeLessThan(error(factor * 1.01));
    expect(error(factor)).toBeLessThan(error(factor * 0.99));
  });

  test('is bounded, and takes nothing from a measurement that is none', () => {
    expect(correctionOf(refinementAfter(Array.from({ length: 500 }, () => 0.01)))).toBe(4);
    expect(refine(UNREFINED, 10, 0)).toBe(UNREFINED);
    expect(refine(UNREFINED, Number.NaN, 10)).toBe(UNREFINED);
  });

  test('a corrected model predicts so many times as much', () => {
    const { totalMs } = predictTpot(MODEL, OPERATION);
    expect(predictTpot(corrected(MODEL, 1.7), OPERATION).totalMs).toBeCloseTo(1.7 * totalMs, 9);
    const contention = {
      parallelShare: 0.4,
      spreadMs: 0.1,
      crowding: 0.2,
      workFactor: 1.5,
      besideMs: 1,
      besideInstanceMs: 0.5,
      besideFactor: 1.2,
      rowWorkMs: 1,
      contextWorkMs: 0.01,
    };
    const shared: PerformanceModel = {
      ...MODEL,
      stepsApart: true,
      shared: { count: 2, helping: false },
      contention,
    };
    const alone = predictTpot(shared, OPERATION).totalMs;
    expect(predictTpot(corrected(shared, 1.7), OPERATION).totalMs).toBeCloseTo(1.7 * alone, 9);
  });
});
