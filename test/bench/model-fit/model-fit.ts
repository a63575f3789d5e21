import { measureLoad, measureProfile, warmUp } from '../../../infra/profile/run-profile.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import type { PerformanceProfile } from '../../../shared/protocol/scaling.ts';
import { lookUpAMax } from '../../../shared/scaling/a-max-table.ts';
import { predictTpot, rowsTogether } from '../../../shared/scaling/performance-model.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { median } from '../results.ts';
import { startBed } from './bed.ts';
import { drawCases, type FitCase, KINDS, type Kind } from './layouts.ts';

const FULL_PER_KIND = 10;
const QUICK_PER_KIND = 2;
const SEED = 5;
/** What runs beside the benchmark is looked for so long before each case. */
const PAUSE_MS = 500;
/** Layout on which the costs are measured. */
const PROFILED = { attention: 1, experts: 1 };
/** An error that still leads to the right size. */
const CLOSE = 0.15;

interface MeasuredCase {
  readonly kind: Kind;
  readonly layout: string;
  readonly sequences: number;
  readonly context: number;
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** (predicted − measured) ÷ measured. */
  readonly error: number;
}

/** How well the performance model, measured on the smallest layout, predicts the TPOT of random layouts and loads. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const watch = new LoadWatch();
  const drawn = drawCases(quick ? QUICK_PER_KIND : FULL_PER_KIND, seededRandom(SEED));
  const cases: MeasuredCase[] = [];
  const profileErrors: Record<string, number> = {};
  for (const kind of KINDS) {
    const profile = await profileKind(kind);
    profileErrors[kind] = profile.quality.tpot!.meanRelativeError;
    for (const each of drawn.filter((other) => other.kind === kind)) {
      await watch.pause(PAUSE_MS);
      const measured = await measureCase(each, profile);
      if (measured === null) continue;
      cases.push(measured);
      const { layout, sequences, measuredMs, predictedMs } = measured;
      console.error(
        `${kind} ${layout}, ${sequences} sequences: ${measuredMs.toFixed(1)} ms, predicted ${predictedMs.toFixed(1)} ms`,
      );
    }
  }
  const errors = cases.map(({ error }) => Math.abs(error));
  return {
    cases,
    shareWithin15Percent: errors.filter((error) => error <= CLOSE).length / errors.length,
    medianError: median(errors),
    profileErrors,
    machineLoad: watch.result(),
  };
}

async function profileKind(kind: Kind): Promise<PerformanceProfile> {
  await using parts = new AsyncDisposableStack();
  return (await measureProfile(await startBed(kind, PROFILED, parts))).profile;
}

async function measureCase(
  drawn: FitCase,
  { model, table }: PerformanceProfile,
): Promise<MeasuredCase | null> {
  const { kind, attention, experts, sequences, promptTokens, answerTokens } = drawn;
  await using parts = new AsyncDisposableStack();
  const bed = await startBed(kind, { attention, experts }, parts);
  await warmUp(bed, drawn);
  const measured = await measureLoad(bed, drawn);
  if (measured === null) return null;
  const context = promptTokens + answerTokens / 2;
  const aMax = lookUpAMax(table, experts, rowsTogether(model, attention, sequences));
  const { totalMs } = predictTpot(model, { attention, experts, batch: sequences, context, aMax });
  return {
    kind,
    layout: `${attention}A${experts}E`,
    sequences,
    context,
    measuredMs: measured.totalMs,
    predictedMs: totalMs,
    error: totalMs / measured.totalMs - 1,
  };
}
