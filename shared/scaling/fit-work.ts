import type { LoadMeasurement } from './fit-model.ts';
import { fitNonNegative, type Measurement } from './least-squares.ts';
import {
  busyAttention,
  type ContentionCost,
  type PerformanceModel,
  predictTpot,
  processorTime,
} from './performance-model.ts';

/** From this share of the processors on, a load is bound by them and not by what follows each other in one step. */
const BOUND_SHARE = 0.75;
/** Times as long that are tried for what waits for experts. */
const BESIDE_FACTORS = Array.from({ length: 41 }, (_, index) => 1 + index / 40);
/** Loads that tell work by row apart from work by step. */
const LEAST_BOUND = 2;

/**
 * Fits how much work steps are, from loads of several attention instances that keep the processors busy, and how much longer those take
 * beside each other that leave them idle. Where too few are busy, from how busy the processors were in all loads.
 *
 * @param model with what spreading costs
 */
export function fitWork(loads: readonly LoadMeasurement[], model: PerformanceModel): ContentionCost {
  const { count, helping } = model.shared!;
  const several = loads.filter(({ attention }) => attention > 1);
  const isBound = ({ busyProcessors = 0 }: LoadMeasurement): boolean => busyProcessors >= BOUND_SHARE * count;
  const bound = several.filter(isBound);
  if (bound.length < LEAST_BOUND) {
    const [workFactor, besideMs] = fitFeatures(
      loads,
      (load) => load.busyProcessors,
      (load) => [processorTime(model, load), busyOf(model, load)],
    );
    return { ...model.contention!, ...(workFactor !== undefined && { workFactor, besideMs: besideMs! }) };
  }
  const contention = { ...model.contention!, ...(helping ? workByRow : workByStep)(bound, model) };
  const waiting = several.filter((load) => !isBound(load));
  return { ...contention, ...slowerBeside(waiting, { ...model, contention }) };
}

/** Work as so many times what steps take alone. */
function workByStep(bound: readonly LoadMeasurement[], model: PerformanceModel): Partial<ContentionCost> {
  const [workFactor, besideMs, besideInstanceMs] = fitFeatures(
    bound,
    () => model.shared!.count,
    (load) => [processorTime(model, load), ...instanceFeatures(model, load)],
  );
  return { workFactor: workFactor!, besideMs: besideMs!, besideInstanceMs: besideInstanceMs! };
}

/** Work of threads that help each other, whose steps alone are no measure of it. */
function workByRow(bound: readonly LoadMeasurement[], model: PerformanceModel): Partial<ContentionCost> {
  const [besideMs, besideInstanceMs, rowWorkMs, contextWorkMs] = fitFeatures(
    bound,
    () => model.shared!.count,
    (load) => [...instanceFeatures(model, load), load.batch, load.batch * load.context],
  );
  return {
    workFactor: 0,
    besideMs: besideMs!,
    besideInstanceMs: besideInstanceMs!,
    rowWorkMs: rowWorkMs!,
    contextWorkMs: contextWorkMs!,
  };
}

/** @param waiting loads that leave processors idle, since attention instances wait for experts */
function slowerBeside(waiting: readonly LoadMeasurement[], model: PerformanceModel): Partial<ContentionCost> {
  if (waiting.length === 0) return {};
  const tried = BESIDE_FACTORS.map((besideFactor) => {
    const slower = { ...model, contention: { ...model.contention!, besideFactor } };
    const errors = waiting.map((load) => predictTpot(slower, load).totalMs / load.totalMs - 1);
    return { besideFactor, error: errors.reduce((sum, error) => sum + error ** 2, 0) };
  });
  return {
    besideFactor: tried.reduce((least, each) => (each.error < least.error ? each : least)).besideFactor,
  };
}

const busyOf = (model: PerformanceModel, { attention, batch }: LoadMeasurement): number =>
  busyAttention(model, attention, batch);

/** Steps, and what expert instances answer in them. */
function instanceFeatures(model: PerformanceModel, load: LoadMeasurement): number[] {
  const busy = busyOf(model, load);
  return [busy, busy * load.experts];
}

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
