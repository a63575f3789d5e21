import { measureLoad, warmUp } from '../../../infra/profile/measure-load.ts';
import { type MeasuredPool, measurePool, storedTrace } from '../../../infra/profile/run-profile.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { fitModel } from '../../../shared/scaling/fit-model.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { median } from '../results.ts';
import { SEQUENCES_PER_ATTENTION, startBed } from './bed.ts';
import { compare, type MeasuredTraffic } from './compare.ts';
import { drawCases, type FitCase, KINDS, type Kind } from './layouts.ts';

const FULL_PER_KIND = 10;
const QUICK_PER_KIND = 2;
const SEED = 5;
/** What runs beside the benchmark is looked for so long before each layout. */
const PAUSE_MS = 500;
/**
 * Layouts on which the costs are measured: one with a processor per instance, one that spreads a layer step, and two whose attention
 * instances want more than the processors, with few and with many expert instances.
 */
const PROFILED: readonly (PoolSizes & { readonly limitMs: number })[] = [
  { attention: 1, experts: 1, limitMs: 18_000 },
  { attention: 1, experts: 3, limitMs: 10_000 },
  { attention: 2, experts: 1, limitMs: 12_000 },
  { attention: 3, experts: 3, limitMs: 18_000 },
];
/**
 * Times that all of it is measured, one after the other: the same instances differ by a tenth from start to start, and the machine by
 * a quarter within minutes, which is to meet what is profiled and what is predicted alike.
 */
const ROUNDS = 3;
/** Hosts compile their code the longer the more of them share the processors. */
const WARM_UP_MS_PER_INSTANCE = 800;
const LEAST_WARM_UP_MS = 3_000;
/** An error that still leads to the right size. */
const CLOSE = 0.15;

/** What the rounds have measured of one kind. */
interface MeasuredKind {
  readonly pools: MeasuredPool[];
  readonly cases: ReadonlyMap<FitCase, MeasuredTraffic[]>;
}

/** How well the performance model, measured on four layouts, predicts the TPOT of random layouts and loads. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const watch = new LoadWatch();
  const drawn = drawCases(
    quick ? QUICK_PER_KIND : FULL_PER_KIND,
    SEQUENCES_PER_ATTENTION,
    seededRandom(SEED),
  );
  const rounds = quick ? 1 : ROUNDS;
  const kinds = new Map(
    KINDS.map((kind): [Kind, MeasuredKind] => {
      const ofKind = drawn.filter((each) => each.kind === kind);
      return [kind, { pools: [], cases: new Map(ofKind.map((each) => [each, []])) }];
    }),
  );
  for (let round = 0; round < rounds; round++) {
    for (const [kind, { pools, cases }] of kinds) {
      for (const profiled of PROFILED) {
        await watch.pause(PAUSE_MS);
        pools.push(await profileLayout(kind, profiled, pools));
      }
      for (const [each, measured] of cases) {
        await watch.pause(PAUSE_MS);
        const traffic = await measureCase(each);
        if (traffic !== null) measured.push(traffic);
      }
    }
  }
  const fitted = [...kinds].map(([kind, { pools, cases }]) => {
    const loads = pools.flatMap((pool) => pool.loads);
    const { model, quality } = fitModel(loads, pools.at(-1)!.deployment);
    return { kind, quality, cases: [...cases].flatMap((measured) => compare(model, ...measured)) };
  });
  const cases = fitted.flatMap((kind) => kind.cases);
  const errors = cases.map(({ error }) => Math.abs(error));
  return {
    cases,
    seed: SEED,
    rounds,
    shareWithin15Percent: errors.filter((error) => error <= CLOSE).length / errors.length,
    medianError: median(errors),
    profileErrors: Object.fromEntries(
      fitted.map(({ kind, quality }) => [kind, quality.tpot!.meanRelativeError]),
    ),
    medianSpread: median(cases.map(({ spread }) => spread)),
    machineLoad: watch.result(),
  };
}

async function profileLayout(
  kind: Kind,
  { limitMs, ...sizes }: (typeof PROFILED)[number],
  earlier: readonly MeasuredPool[],
): Promise<MeasuredPool> {
  await using parts = new AsyncDisposableStack();
  const pool = await startBed(kind, sizes, parts);
  // Awaited here, since the pool is stopped when this function is left.
  return await measurePool({
    ...pool,
    ...{ limitMs, warmUpMs: warmUpMsOf(sizes), log: console.error },
    earlier: earlier.flatMap(({ loads }) => loads),
  });
}

const warmUpMsOf = ({ attention, experts }: PoolSizes): number =>
  Math.max(LEAST_WARM_UP_MS, (attention + experts) * WARM_UP_MS_PER_INSTANCE);

/** On instances of its own, so that their trace is of its traffic. Null where nothing could be measured. */
async function measureCase(each: FitCase): Promise<MeasuredTraffic | null> {
  const { kind, attention, experts } = each;
  await using parts = new AsyncDisposableStack();
  const pool = await startBed(kind, { attention, experts }, parts);
  await warmUp(pool, each, warmUpMsOf({ attention, experts }));
  const load = await measureLoad(pool, each);
  if (load === null) return null;
  const layout = `${kind} ${attention}A${experts}E, ${each.sequences} sequences`;
  console.error(`${layout}, context ${load.context}: ${load.totalMs.toFixed(2)} ms`);
  return { load, trace: await storedTrace(pool.redis, pool.card.id), capacity: pool.placement.capacity };
}
