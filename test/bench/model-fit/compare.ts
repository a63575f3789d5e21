import type { ActivationTrace } from '../../../shared/placement/trace.ts';
import { aMaxTable, lookUpAMax } from '../../../shared/scaling/a-max-table.ts';
import type { LoadMeasurement } from '../../../shared/scaling/fit-model.ts';
import {
  type PerformanceModel,
  predictTpot,
  rowsTogether,
} from '../../../shared/scaling/performance-model.ts';
import { median } from '../results.ts';
import type { FitCase, Kind } from './layouts.ts';

const SEED = 1;

export interface MeasuredCase {
  readonly kind: Kind;
  readonly layout: string;
  readonly sequences: number;
  readonly context: number;
  /** Median of the rounds, as is what is predicted for the batches that were measured. */
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** (predicted − measured) ÷ measured. */
  readonly error: number;
  /** (longest − shortest) ÷ shortest of the rounds. */
  readonly spread: number;
}

/** What was measured of a case in one round. */
export interface MeasuredTraffic {
  readonly load: LoadMeasurement;
  /** Which experts its tokens picked. */
  readonly trace: ActivationTrace;
  /** Replica slots of an expert instance. */
  readonly capacity: number;
}

/** What the model predicts for a case, and what it took. None where nothing was measured. */
export function compare(
  model: PerformanceModel,
  { kind, attention, experts, sequences }: FitCase,
  measured: readonly MeasuredTraffic[],
): MeasuredCase[] {
  if (measured.length === 0) return [];
  const times = measured.map(({ load }) => load.totalMs);
  const [measuredMs, predictedMs] = [median(times), median(measured.map((each) => predict(model, each)))];
  return [
    {
      kind,
      layout: `${attention}A${experts}E`,
      sequences,
      context: measured[0]!.load.context,
      measuredMs,
      predictedMs,
      error: predictedMs / measuredMs - 1,
      spread: Math.max(...times) / Math.min(...times) - 1,
    },
  ];
}

/** As the solver does: with the a_max that the trace makes likely, not the one that was seen. */
function predict(model: PerformanceModel, { load, trace, capacity }: MeasuredTraffic): number {
  const { attention, experts, batch, context } = load;
  const rows = rowsTogether(model, attention, batch);
  const table = aMaxTable({
    trace,
    capacity,
    mostInstances: experts,
    mostBatch: Math.ceil(rows),
    seed: SEED,
  });
  const aMax = lookUpAMax(table, experts, rows);
  return predictTpot(model, { attention, experts, batch, context, aMax }).totalMs;
}
