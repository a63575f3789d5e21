import type { LoadMeasurement } from './fit-model.ts';
import { fitWork } from './fit-work.ts';
import {
  type ContentionCost,
  crowdedShare,
  NO_CONTENTION,
  type PerformanceModel,
  predictTpot,
} from './performance-model.ts';

/** Shares of the further processors that are tried. */
const PARALLEL_SHARES = Array.from({ length: 11 }, (_, tenths) => tenths / 10);

/**
 * Fits what sharing processors costs: from loads of one attention instance and several expert instances how much of an exchange
 * is beside each other, and from those of several attention instances how much work a step is.
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
    return { per: crowdedShare(alone.shared!, load) * share, rest: 1 - share };
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
