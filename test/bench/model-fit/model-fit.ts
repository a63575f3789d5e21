import { measureLoad, warmUp } from '../../../infra/profile/measure-load.ts';
import { measureProfile } from '../../../infra/profile/run-profile.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import type { PerformanceProfile } from '../../../shared/protocol/scaling.ts';
import { lookUpAMax } from '../../../shared/scaling/a-max-table.ts';
import { fitModel, type LoadMeasurement } from '../../../shared/scaling/fit-model.ts';
import { predictTpot, rowsTogether } from '../../../shared/scaling/performance-model.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { median } from '../results.ts';
import { SEQUENCES_PER_ATTENTION, startBed } from './bed.ts';
import { drawCases, type FitCase, KINDS, type Kind } from './layouts.ts';
import { atFirstSpeed, Reference } from './reference.ts';

const FULL_PER_KIND = 10;
const QUICK_PER_KIND = 2;
const SEED = 5;
/** What runs beside the benchmark is looked for so long before each layout. */
const PAUSE_MS = 500;
/**
 * Layouts on which the costs are measured: one with a processor per instance, one that spreads a layer step, and one whose attention
 * instances want more than the processors.
 */
const PROFILED: readonly (PoolSizes & { readonly limitMs: number })[] = [
  { attention: 1, experts: 1, limitMs: 22_000 },
  { attention: 1, experts: 3, limitMs: 14_000 },
  { attention: 3, experts: 3, limitMs: 32_000 },
];
/** Starts of each layout. The same instances differ by a tenth from start to start, and hardly while they run: for a part since the machine does. */
const STARTS = 2;
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
  /** Mean over the starts, as is what is predicted for the batches that were measured, and for the machine's speed meanwhile. */
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** (predicted − measured) ÷ measured. */
  readonly error: number;
  /** (longest − shortest) ÷ shortest of the starts. */
  readonly spread: number;
  /** Of the machine meanwhile, over the first measurement of its speed. */
  readonly slowness: number;
}

/** What was measured of a case in one start. */
interface MeasuredLoad {
  readonly load: LoadMeasurement;
  readonly slowness: number;
}

/** How well the performance model, measured on three layouts, predicts the TPOT of random layouts and loads. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const watch = new LoadWatch();
  const perKind = quick ? QUICK_PER_KIND : FULL_PER_KIND;
  const drawn = drawCases(perKind, SEQUENCES_PER_ATTENTION, seededRandom(SEED));
  const starts = quick ? 1 : STARTS;
  const cases: MeasuredCase[] = [];
  const profileErrors: Record<string, number> = {};
  await using parts = new AsyncDisposableStack();
  const reference = await Reference.start(parts);
  for (const kind of KINDS) {
    const profile = await profileKind(kind, starts, reference);
    profileErrors[kind] = profile.quality.tpot!.meanRelativeError;
    const ofKind = drawn.filter((other) => other.kind === kind);
    const measured = new Map(ofKind.map((each): [FitCase, MeasuredLoad[]] => [each, []]));
    for (let start = 0; start < starts; start++) {
      for (const ofLayout of byLayout(ofKind)) {
        await watch.pause(PAUSE_MS);
        const { result, slowness } = await reference.around(() => measureCases(ofLayout));
        for (const [each, load] of result) measured.get(each)!.push({ load, slowness });
      }
    }
    cases.push(...[...measured].flatMap(([drawn, loads]) => compare(drawn, loads, profile)));
  }
  const errors = cases.map(({ error }) => Math.abs(error));
  return {
    cases,
    seed: SEED,
    startsOfEach: starts,
    shareWithin15Percent: errors.filter((error) => error <= CLOSE).length / errors.length,
    medianError: median(errors),
    profileErrors,
    medianSpread: median(cases.map(({ spread }) => spread)),
    machineLoad: watch.result(),
  };
}

async function profileKind(kind: Kind, starts: number, reference: Reference): Promise<PerformanceProfile> {
  const loads: LoadMeasurement[] = [];
  let newest: PerformanceProfile | undefined;
  for (let start = 0; start < starts; start++) {
    for (const { limitMs, ...sizes } of PROFILED) {
      await using parts = new AsyncDisposableStack();
      const bed = await startBed(kind, sizes, parts);
      const warmUpMs = warmUpMsOf(sizes);
      const { result, slowness } = await reference.around(() =>
        measureProfile({ ...bed, earlier: loads, limitMs, warmUpMs }),
      );
      loads.push(...result.loads.map((load) => atFirstSpeed(load, slowness)));
      newest = result.profile;
    }
  }
  const { contention: _, ...deployment } = newest!.model;
  return { ...newest!, loads, ...fitModel(loads, deployment) };
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

/** None of a case of which nothing could be measured. */
async function measureCases(cases: readonly FitCase[]): Promise<[FitCase, LoadMeasurement][]> {
  const [{ kind, attention, experts }] = cases as [FitCase];
  await using parts = new AsyncDisposableStack();
  const bed = await startBed(kind, { attention, experts }, parts);
  await warmUp(bed, cases[0]!, warmUpMsOf({ attention, experts }));
  const measured: [FitCase, LoadMeasurement][] = [];
  for (const each of cases) {
    const load = await measureLoad(bed, each);
    if (load === null) continue;
    measured.push([each, load]);
    const layout = `${kind} ${attention}A${experts}E, ${each.sequences} sequences`;
    console.error(`${layout}, context ${load.context}: ${load.totalMs.toFixed(2)} ms`);
  }
  return measured;
}

/** None where nothing was measured. */
function compare(
  { kind, attention, experts, sequences }: FitCase,
  measured: readonly MeasuredLoad[],
  { model, table }: PerformanceProfile,
): MeasuredCase[] {
  if (measured.length === 0) return [];
  const times = measured.map(({ load }) => load.totalMs);
  const predicted = measured.map(({ load: { batch, context }, slowness }) => {
    const aMax = lookUpAMax(table, experts, rowsTogether(model, attention, batch));
    return slowness * predictTpot(model, { attention, experts, batch, context, aMax }).totalMs;
  });
  const [measuredMs, predictedMs] = [mean(times), mean(predicted)];
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
      slowness: mean(measured.map(({ slowness }) => slowness)),
    },
  ];
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
