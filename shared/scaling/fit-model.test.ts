import { describe, expect, test } from 'vitest';
import { fitModel, type LoadMeasurement } from './fit-model.ts';
import { type PerformanceModel, predictTpot } from './performance-model.ts';

const DEPLOYMENT = { layers: 6, expertsPerToken: 4 };
const TRUE: PerformanceModel = {
  ...DEPLOYMENT,
  attention: { floorMs: 0, fixedMs: 0.08, perRowMs: 0.02, perContextTokenMs: 0.00006 },
  experts: { fixedMs: 0.04, perActivatedMs: 0.015, perRowMs: 0.004 },
  link: { fixedMs: 0.12, perRowMs: 0.002 },
  step: { fixedMs: 0.7, perRowMs: 0.03 },
  attentionVariation: 0,
};

/** What a pool would have measured that is just as the model says, on two expert instances. */
function measurements(model: PerformanceModel): LoadMeasurement[] {
  return [1, 4, 16, 32].flatMap((batch) =>
    [60, 400].map((context) => {
      const aMax = 2 + 5 * Math.log2(1 + batch);
      const operation = { attention: 1, experts: 2, batch, context, aMax };
      const { attentionMs, expertsMs, linkMs, stepMs, totalMs } = predictTpot(model, operation);
      const { fixedMs, perActivatedMs, perRowMs } = model.experts;
      const worked = fixedMs + perActivatedMs * (aMax - 1) + (perRowMs * batch * model.expertsPerToken) / 2;
      return {
        ...operation,
        attentionMs: attentionMs / model.layers,
        exchangeMs: (expertsMs + linkMs) / model.layers,
        expertsMs: worked,
        activated: aMax - 1,
        stepMs,
        totalMs,
      };
    }),
  );
}

describe('fitModel', () => {
  test.each([
    ['with a processor for each instance', {}],
    ['on one shared processor', { shared: { count: 1, helping: false } }],
    [
      'where expert instances are hosts of their own',
      { shared: { count: 2, helping: false, expertsApart: true } },
    ],
    ['where threads help each other', { shared: { count: 2, helping: true } }],
  ])('finds the costs again %s', (_, sharing) => {
    const { model, quality } = fitModel(measurements({ ...TRUE, ...sharing }), { ...DEPLOYMENT, ...sharing });
    for (const part of ['attention', 'experts', 'link', 'step'] as const) {
      for (const [cost, ms] of Object.entries(TRUE[part])) {
        expect((model[part] as unknown as Record<string, number>)[cost]).toBeCloseTo(ms, 4);
      }
    }
    expect(quality.tpot!.mostRelativeError).toBeLessThan(0.001);
  });

  test('says how far off it is where parts do not follow the model', () => {
    const odd = measurements(TRUE).map((load, i) => ({
      ...load,
      totalMs: load.totalMs * (i === 3 ? 1.5 : 1),
    }));
    const { quality } = fitModel(odd, DEPLOYMENT);
    expect(quality.tpot!.mostRelativeError).toBeCloseTo(1 / 3, 2);
    expect(quality.tpot!.measurements).toBe(8);
  });
});
