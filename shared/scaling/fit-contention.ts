import type { LoadMeasurement } from './fit-model.ts';
import { fitNonNegative, type Measurement } from './least-squares.ts';
import {
  busyAttention,
  type ContentionCost,
  NO_CONTENTION,
  type PerformanceModel,
  predictTpot,
  processorTime,
} from './performance-model.ts';

/** Shares of the further processors that are tried. */
const PARALLEL_SHARES = Array.from({ length: 11 }, (_, tenths) => tenths / 10);
/** From this share of the processors on, a load is bound by them and not by what follows each other in one step. */
const BOUND_SHARE = 0.75;
/** Loads that tell work by row apart from work by step. */
const LEAST_BOUND = 2;

/**
 * Fits what sharing processors costs: from loads of one attention instance and several expert instances how much of an exchange
 * is beside each other, and from loads that keep the processors busy how much work a step is. Where there are none, from how busy
 * the processors were.
 *
 * @param alone the model without contention, whose processors are shared
 */
export function fitContention(loads: readonly LoadMeasurement[], alone: PerformanceModel): ContentionCost {
  const spread = fitSpread(
    loads.filter(({ attention, experts }) => attention === 1 && experts > 1),
    alone,
  );
  return fitWork(loads, withSpread(alone, spread));
}

type Spread = Pick<ContentionCost, 'parallelShare' | 'spreadMs'>;

function fitSpread(loads: readonly LoadMeasurement[], alone: PerformanceModel): Spread {
  if (loads.length === 0) {
    const { parallelShare, spreadMs } = NO_CONTENTION;
    // Between hosts each further message is likely to cost what the first does.
    return { parallelShare, spreadMs: alone.queuedApart ? alone.link.fixedMs : spreadMs };
  }
  const tried = PARALLEL_SHARES.map((share) => {
    const without = withSpread(alone, { parallelShare: share, spreadMs: 0 });
    const over = loads.map((load) => {
      const perMs = (alone.layers * (load.experts - 1)) / load.totalMs;
      return { perMs, rest: 1 - predictTpot(without, load).totalMs / load.totalMs };
    });
    const squares = over.reduce((sum, { perMs }) => sum + perMs ** 2, 0);
    const ms = Math.max(0, over.reduce((sum, { perMs, rest }) => sum + perMs * rest, 0) / squares);
    const error = over.reduce((sum, { perMs, rest }) => sum + (rest - ms * perMs) ** 2, 0);
    return { parallelShare: share, spreadMs: ms, error };
  });
  const best = tried.reduce((least, each) => (each.error < least.error ? each : least));
  return { parallelShare: best.parallelShare, spreadMs: best.spreadMs };
}

const withSpread = (model: PerformanceModel, spread: Spread): PerformanceModel => ({
  ...model,
  contention: { ...NO_CONTENTION, ...spread },
});

/** How much work steps are. @param model with what spreading costs */
function fitWork(loads: readonly LoadMeasurement[], model: PerformanceModel): ContentionCost {
  const { count, helping } = model.shared!;
  const contention = model.contention!;
  const bound = loads.filter(
    ({ attention, busyProcessors = 0 }) => attention > 1 && busyProcessors >= BOUND_SHARE * count,
  );
  if (bound.length < LEAST_BOUND) {
    const [workFactor, besideMs] = fitFeatures(loads, (load) => load.busyProcessors, stepFeatures(model));
    return workFactor === undefined ? contention : { ...contention, workFactor, besideMs: besideMs! };
  }
  if (!helping) {
    const [workFactor, besideMs] = fitFeatures(bound, () => count, stepFeatures(model));
    return { ...contention, workFactor: workFactor!, besideMs: besideMs! };
  }
  const features = (load: LoadMeasurement) => [busyOf(model, load), load.batch, load.batch * load.context];
  const [besideMs, rowWorkMs, contextWorkMs] = fitFeatures(bound, () => count, features);
  return {
    ...contention,
    workFactor: 0,
    besideMs: besideMs!,
    rowWorkMs: rowWorkMs!,
    contextWorkMs: contextWorkMs!,
  };
}

const busyOf = (model: PerformanceModel, { attention, batch }: LoadMeasurement): number =>
  busyAttention(model, attention, batch);

const stepFeatures = (model: PerformanceModel) => (load: LoadMeasurement) => [
  processorTime(model, load),
  busyOf(model, load),
];

/** Coefficients of the time of `processors` that a step takes; none where no load tells. */
function fitFeatures(
  loads: readonly LoadMeasurement[],
  processors: (load: LoadMeasurement) => number | undefined,
  features: (load: LoadMeasurement) => number[],
): readonly (number | undefined)[] {
  const measured = loads.flatMap((load): Measurement[] => {
    const busy = processors(load);
    return busy === undefined ? [] : [{ features: features(load), value: busy * load.totalMs }];
  });
  return measured.length === 0 ? [] : fitNonNegative(measured).coefficients;
}
