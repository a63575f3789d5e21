import { describe, expect, test } from 'vitest';
import { fitModel, type LoadMeasurement } from './fit-model.ts';
import { NO_CONTENTION, type PerformanceModel, predictTpot, rowsTogether } from './performance-model.ts';

const DEPLOYMENT = { layers: 6, expertsPerToken: 4 };
const TRUE: PerformanceModel = {
  ...DEPLOYMENT,
  attention: { floorMs: 0, fixedMs: 0.08, perRowMs: 0.02, perContextTokenMs: 0.00006 },
  experts: { fixedMs: 0.04, perActivatedMs: 0.015, perRowMs: 0.004 },
  link: { fixedMs: 0.12, perRowMs: 0.002 },
  step: { fixedMs: 0.7, perRowMs: 0.03 },
  attentionVariation: 0,
};

const OPERATIONS = [1, 4, 16, 32].flatMap((batch) =>
  [60, 400].map((context) => ({ batch, context, aMax: 2 + 5 * Math.log2(1 + batch) })),
);

/** What a pool would have measured that is just as the model says. @param busyProcessors where it tells */
function measurements(
  model: PerformanceModel,
  sizes = { attention: 1, experts: 2 },
  busyProcessors?: number,
): LoadMeasurement[] {
  return OPERATIONS.map((each) => {
    // Instances without a sequence take no part in a load.
    const operation = { ...each, ...sizes, attention: Math.min(sizes.attention, each.batch) };
    const { attentionMs, expertsMs, linkMs, stepMs, totalMs } = predictTpot(model, operation);
    const { fixedMs, perActivatedMs, perRowMs } = model.experts;
    const rows =
      (rowsTogether(model, operation.attention, each.batch) * model.expertsPerToken) / sizes.experts;
    return {
      ...operation,
      attentionMs: attentionMs / model.layers,
      exchangeMs: (expertsMs + linkMs) / model.layers,
      expertsMs: fixedMs + perActivatedMs * (each.aMax - 1) + perRowMs * rows,
      activated: each.aMax - 1,
      stepMs,
      totalMs,
      ...(busyProcessors !== undefined && { busyProcessors }),
    };
  });
}

describe('fitModel', () => {
  test.each([
    ['with a processor for each instance', {}],
    ['on one shared processor', { shared: { count: 1, helping: false } }],
  ])('finds the costs again %s', (_, sharing) => {
    const { model, quality } = fitModel(measurements({ ...TRUE, ...sharing }), { ...DEPLOYMENT, ...sharing });
    for (const part of ['attention', 'experts', 'link', 'step'] as const) {
      for (const [cost, ms] of Object.entries(TRUE[part])) {
        expect((model[part] as unknown as Record<string, number>)[cost]).toBeCloseTo(ms, 4);
      }
    }
    expect(quality.tpot!.mostRelativeError).toBeLessThan(0.001);
  });

  test('takes an exchange for what its experts take where threads help each other', () => {
    const sharing = { shared: { count: 2, helping: true } };
    const { model, quality } = fitModel(measurements({ ...TRUE, ...sharing }), { ...DEPLOYMENT, ...sharing });
    expect(model.experts.perActivatedMs).toBeCloseTo(TRUE.experts.perActivatedMs, 4);
    expect(quality.tpot!.mostRelativeError).toBeLessThan(0.001);
  });

  const SHARING = { shared: { count: 2, helping: false }, stepsApart: true };
  const CONTENTION = { ...NO_CONTENTION, parallelShare: 0.3, spreadMs: 0.2, workFactor: 1.3, besideMs: 0.5 };
  const CONTENDED: PerformanceModel = { ...TRUE, ...SHARING, contention: CONTENTION };
  const layoutsOf = (layouts: readonly (readonly [number, number, number])[]) =>
    layouts.flatMap(([attention, experts, busy]) => measurements(CONTENDED, { attention, experts }, busy));

  test('finds again what sharing processors costs, from layouts with more instances than processors', () => {
    const loads = layoutsOf([
      [1, 1, 1.1],
      [1, 3, 1.4],
      [3, 3, 1.9],
    ]);
    const { model, quality } = fitModel(loads, { ...DEPLOYMENT, ...SHARING });
    for (const [cost, value] of Object.entries(CONTENTION)) {
      expect(model.contention![cost as keyof typeof CONTENTION]).toBeCloseTo(value, 3);
    }
    expect(quality.tpot!.mostRelativeError).toBeLessThan(0.001);
    const other = { attention: 2, experts: 2, batch: 10, context: 100, aMax: 9 };
    expect(predictTpot(model, other).totalMs).toBeCloseTo(predictTpot(CONTENDED, other).totalMs, 2);
  });

  test('tells what waits for experts from what waits for processors, and the work of an expert instance from that of a step', () => {
    const contention = { ...CONTENTION, besideInstanceMs: 0.3, besideFactor: 1.6 };
    const contended = { ...CONTENDED, contention };
    const sizes = [
      { attention: 1, experts: 1, busy: 1.1 },
      { attention: 1, experts: 3, busy: 1.4 },
      { attention: 2, experts: 1, busy: 1.4 },
      { attention: 3, experts: 2, busy: 1.9 },
      { attention: 3, experts: 4, busy: 1.9 },
    ];
    const loads = sizes.flatMap(({ busy, ...layout }) => measurements(contended, layout, busy));
    const { model } = fitModel(loads, { ...DEPLOYMENT, ...SHARING });
    const { besideInstanceMs, besideFactor } = model.contention!;
    expect([besideInstanceMs, besideFactor]).toEqual([expect.closeTo(0.3, 2), expect.closeTo(1.6, 2)]);
  });

  test('finds again all work of threads that help each other, whose steps alone are no measure of it', () => {
    const sharing = { shared: { count: 2, helping: true }, stepsApart: true };
    const work = { workFactor: 0, besideMs: 0.2, rowWorkMs: 3, contextWorkMs: 0.002 };
    const contended = { ...TRUE, ...sharing, contention: { ...NO_CONTENTION, ...work, crowding: 0.15 } };
    const layouts = [
      { attention: 1, experts: 1 },
      { attention: 1, experts: 3 },
      { attention: 3, experts: 1 },
    ];
    const loads = layouts.flatMap((sizes) => measurements(contended, sizes, 1.9));
    const { model } = fitModel(loads, { ...DEPLOYMENT, ...sharing });
    expect(model.contention!.crowding).toBeCloseTo(0.15, 3);
    expect(model.contention!.rowWorkMs).toBeCloseTo(work.rowWorkMs, 3);
    expect(model.contention!.contextWorkMs).toBeCloseTo(work.contextWorkMs, 5);
    const other = { attention: 2, experts: 1, batch: 20, context: 200, aMax: 20 };
    expect(predictTpot(model, other).totalMs).toBeCloseTo(predictTpot(contended, other).totalMs, 2);
  });

  test('has how much work a step is from how busy processors were, where no layout keeps them all busy', () => {
    const { model } = fitModel(layoutsOf([[1, 1, 1.25]]), { ...DEPLOYMENT, ...SHARING });
    const { parallelShare, workFactor, besideMs } = model.contention!;
    expect([parallelShare, workFactor, besideMs]).toEqual([1, expect.closeTo(1.25, 3), expect.closeTo(0, 3)]);
  });

  test('takes a further message between hosts for as dear as the first, where no layout has one', () => {
    const apart = { ...SHARING, queuedApart: true };
    const loads = measurements({ ...TRUE, ...apart }, { attention: 1, experts: 1 });
    const { model } = fitModel(loads, { ...DEPLOYMENT, ...apart });
    expect(model.contention!.spreadMs).toBe(model.link.fixedMs);
    expect(model.link.fixedMs).toBeCloseTo(TRUE.link.fixedMs, 4);
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
