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
  const spreading = loads.filter(({ attention, experts }) => attention === 1 && experts > 1);
  const spread = alone.shared!.helping ? fitCrowding(spreading, alone) : fitSpread(spreading, alone);
  return fitWork(loads, withSpread(alone, spread));
}

type Spread = Partial<ContentionCost>;

function fitCrowding(loads: readonly LoadMeasurement[], alone: PerformanceModel): Spread {
  const over = loads.map((load) => {
    const share = predictTpot(alone, load).totalMs / load.totalMs;
    const beyond = Math.max(0, load.attention + load.experts - alone.shared!.count);
    return { per: beyond * share, rest: 1 - share };
  });
  return { crowding: slopeOf(over) };
}

function fitSpread(loads: readonly LoadMeasurement[], alone: PerformanceModel): Spread {
  if (loads.length === 0) {
    // Between hosts each further message is likely to cost what the first does.
    return alone.queuedApart ? { spreadMs: alone.link.fixedMs } : {};
  }
  const tried = PARALLEL_SHARES.map((parallelShare) => {
    const without = withSpread(alone, { parallelShare });
    const over = loads.map((load) => ({
      per: (alone.layers * (load.experts - 1)) / load.totalMs,
      rest: 1 - predictTpot(without, load).totalMs / load.totalMs,
    }));
    const spreadMs = slopeOf(over);
    const error = over.reduce((sum, { per, rest }) => sum + (rest - spreadMs * per) ** 2, 0);
    return { spread: { parallelShare, spreadMs }, error };
  });
  return tried.reduce((least, each) => (each.error < least.error ? each : least)).spread;
}

/** The cost that makes up best for the rest of each load of which it is `per` a unit; 0 where none does. */
function slopeOf(over: readonly { readonly per: number; readonly rest: number }[]): number {
  const squares = over.reduce((sum, { per }) => sum + per ** 2, 0);
  return squares === 0 ? 0 : Math.max(0, over.reduce((sum, { per, rest }) => sum + per * rest, 0) / squares);
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
