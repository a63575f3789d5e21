import { measureLoad, type RunningPool, warmUp } from '../../../infra/profile/measure-load.ts';
import { measureProfile } from '../../../infra/profile/run-profile.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import type { PerformanceProfile } from '../../../shared/protocol/scaling.ts';
import { lookUpAMax } from '../../../shared/scaling/a-max-table.ts';
import type { LoadMeasurement } from '../../../shared/scaling/fit-model.ts';
import { predictTpot, rowsTogether } from '../../../shared/scaling/performance-model.ts';
import { correctionOf, type Refinement, refine, UNREFINED } from '../../../shared/scaling/refine.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { median } from '../results.ts';
import { SEQUENCES_PER_ATTENTION, startBed } from './bed.ts';
import { drawCases, type FitCase, KINDS, type Kind } from './layouts.ts';

const FULL_PER_KIND = 10;
const QUICK_PER_KIND = 2;
const SEED = 5;
/** What runs beside the benchmark is looked for so long before each layout. */
const PAUSE_MS = 500;
/**
 * Layouts on which the costs are measured: one with a processor per instance, one that spreads a layer step, and one whose attention
 * instances want more than the processors. So long each is measured that the whole takes ten minutes.
 */
const PROFILED: readonly (PoolSizes & { readonly limitMs: number })[] = [
  { attention: 1, experts: 1, limitMs: 22_000 },
  { attention: 1, experts: 3, limitMs: 14_000 },
  { attention: 3, experts: 3, limitMs: 32_000 },
];
/** Hosts compile their code the longer the more of them share the processors. */
const WARM_UP_MS_PER_INSTANCE = 800;
const LEAST_WARM_UP_MS = 3_000;
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
  /** The same without the correction. */
  readonly profileError: number;
}

/** What is known of a kind before a case of it is measured. */
interface Known {
  readonly profile: PerformanceProfile;
  /** From the cases before, as the scaler refines its profile from one round to the next. */
  refinement: Refinement;
}

/**
 * How well the performance model, measured on three layouts, predicts the TPOT of random layouts and loads: as the solver does it, with
 * the profile corrected by what was measured since.
 */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const watch = new LoadWatch();
  const perKind = quick ? QUICK_PER_KIND : FULL_PER_KIND;
  const drawn = drawCases(perKind, SEQUENCES_PER_ATTENTION, seededRandom(SEED));
  const cases: MeasuredCase[] = [];
  const profileErrors: Record<string, number> = {};
  const repeatErrors: number[] = [];
  for (const kind of KINDS) {
    const profile = await profileKind(kind);
    const known: Known = { profile, refinement: UNREFINED };
    profileErrors[kind] = profile.quality.tpot!.meanRelativeError;
    const ofKind = drawn.filter((other) => other.kind === kind);
    for (const ofLayout of byLayout(ofKind)) {
      await watch.pause(PAUSE_MS);
      cases.push(...(await measureCases(ofLayout, known)));
    }
    const [again] = await measureCases([ofKind[0]!], known);
    const before = cases.find((each) => each.kind === kind);
    if (again !== undefined && before !== undefined)
      repeatErrors.push(again.measuredMs / before.measuredMs - 1);
  }
  const errors = cases.map(({ error }) => Math.abs(error));
  return {
    cases,
    seed: SEED,
    shareWithin15Percent: shareClose(errors),
    medianError: median(errors),
    shareWithin15PercentByProfile: shareClose(cases.map(({ profileError }) => Math.abs(profileError))),
    profileErrors,
    repeatErrors,
    machineLoad: watch.result(),
  };
}

const shareClose = (errors: readonly number[]): number =>
  errors.filter((error) => error <= CLOSE).length / errors.length;

async function profileKind(kind: Kind): Promise<PerformanceProfile> {
  const earlier: LoadMeasurement[] = [];
  let profile: PerformanceProfile | undefined;
  for (const { limitMs, ...sizes } of PROFILED) {
    await using parts = new AsyncDisposableStack();
    const bed = await startBed(kind, sizes, parts);
    const warmUpMs = warmUpMsOf(sizes);
    const measured = await measureProfile({ ...bed, earlier, limitMs, warmUpMs });
    earlier.push(...measured.loads);
    profile = measured.profile;
  }
  return profile!;
}

const warmUpMsOf = ({ attention, experts }: PoolSizes): number =>
  Math.max(LEAST_WARM_UP_MS, (attention + experts) * WARM_UP_MS_PER_INSTANCE);

/** Cases of one layout follow each other, and are measured on the same instances. */
function byLayout(cases: readonly FitCase[]): FitCase[][] {
  const groups: FitCase[][] = [];
  for (const each of cases) {
    const [last] = groups.at(-1) ?? [];
    if (last?.attention === each.attention && last.experts === each.experts) groups.at(-1)!.push(each);
    else groups.push([each]);
  }
  return groups;
}

async function measureCases(cases: readonly FitCase[], known: Known): Promise<MeasuredCase[]> {
  const [{ kind, attention, experts }] = cases as [FitCase];
  await using parts = new AsyncDisposableStack();
  const bed = await startBed(kind, { attention, experts }, parts);
  await warmUp(bed, cases[0]!, warmUpMsOf({ attention, experts }));
  const measured: MeasuredCase[] = [];
  for (const each of cases) {
    const found = await measureCase(bed, each, known);
    if (found !== null) measured.push(found);
  }
  return measured;
}

async function measureCase(bed: RunningPool, drawn: FitCase, known: Known): Promise<MeasuredCase | null> {
  const { kind, attention, experts, sequences } = drawn;
  const measured = await measureLoad(bed, drawn);
  if (measured === null) return null;
  const { model, table } = known.profile;
  const { batch, context, totalMs: measuredMs } = measured;
  const aMax = lookUpAMax(table, experts, rowsTogether(model, attention, batch));
  const { totalMs: byProfileMs } = predictTpot(model, { attention, experts, batch, context, aMax });
  const predictedMs = byProfileMs * correctionOf(known.refinement);
  known.refinement = refine(known.refinement, byProfileMs, measuredMs);
  const layout = `${attention}A${experts}E`;
  const shown = `${measuredMs.toFixed(2)} ms, predicted ${predictedMs.toFixed(2)} ms (by the profile alone ${byProfileMs.toFixed(2)})`;
  console.error(`${kind} ${layout}, ${sequences} sequences, context ${context}: ${shown}`);
  return {
    kind,
    layout,
    sequences,
    context,
    measuredMs,
    predictedMs,
    error: predictedMs / measuredMs - 1,
    profileError: byProfileMs / measuredMs - 1,
  };
}
