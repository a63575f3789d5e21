import type { PerformanceProfile } from '../../shared/protocol/scaling.ts';
import type { LoadMeasurement } from '../../shared/scaling/fit-model.ts';
import { type ContentionCost, predictTpot } from '../../shared/scaling/performance-model.ts';
import { formatTable } from '../cli/table.ts';
import type { MeasuredProfile } from './run-profile.ts';

const decimals = (value: number, digits = 2): string => value.toFixed(digits);
const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
const HEADER = ['batch', 'context', 'a_max', 'measured ms', 'predicted ms', 'off by'];

/** Costs, how well they fit, and each load beside what the model says of it. */
export function formatProfile({ profile, loads }: MeasuredProfile): string {
  const rows = loads.map((load) => loadRow(profile, load));
  return [
    ...costLines(profile),
    ...qualityLines(profile),
    ...formatTable([HEADER, ...rows], [0, 1, 2, 3, 4, 5]),
  ].join('\n');
}

function loadRow({ model }: PerformanceProfile, load: LoadMeasurement): string[] {
  const { totalMs } = predictTpot(model, load);
  return [
    decimals(load.batch, 1),
    decimals(load.context, 0),
    decimals(load.aMax, 1),
    decimals(load.totalMs),
    decimals(totalMs),
    percent(totalMs / load.totalMs - 1),
  ];
}

function costLines({ model, table, capacity }: PerformanceProfile): string[] {
  const microseconds = (costs: object): string =>
    Object.entries(costs)
      .map(([name, ms]) => `${name.replace(/Ms$/, '')} ${decimals(1_000 * ms, 3)}`)
      .join(', ');
  const { shared, contention, stepsApart } = model;
  return [
    `per layer, in µs: attention ${microseconds(model.attention)}`,
    `  experts ${microseconds(model.experts)}`,
    `  link ${microseconds(model.link)}`,
    `per step, in µs: ${microseconds(model.step)}`,
    shared === undefined
      ? 'each instance has processors of its own'
      : `${shared.count} processors for all instances${shared.helping ? ', which help each other' : ''}`,
    ...(contention === undefined ? [] : [contentionLine(contention, shared?.helping === true)]),
    ...(stepsApart ? ['each attention instance sends its layer steps for itself'] : []),
    `a_max for ${table.instances[0]} to ${table.instances.at(-1)} expert instances of ${capacity} slots`,
  ];
}

function contentionLine(contention: ContentionCost, helping: boolean): string {
  const { parallelShare, spreadMs, crowding, workFactor, besideMs, rowWorkMs, contextWorkMs } = contention;
  const { besideInstanceMs = 0, besideFactor = workFactor } = contention;
  const work = [`${decimals(workFactor)} times the step`];
  for (const [name, ms] of Object.entries({ besideMs, besideInstanceMs, rowWorkMs, contextWorkMs })) {
    if (ms > 0) work.push(`${decimals(1_000 * ms, 3)} µs (${name.replace(/Ms$/, '')})`);
  }
  const instances = helping
    ? `${percent(crowding)} longer times the share of threads without a processor`
    : `${percent(parallelShare)} of further processors beside each other, ${decimals(1_000 * spreadMs, 3)} µs per layer and further ` +
      'expert instance';
  const beside = `${decimals(Math.max(1, besideFactor))} times as long beside other attention instances`;
  return `  ${instances}; ${beside}; work of a step: ${work.join(' + ')}`;
}

const qualityLines = ({ quality }: PerformanceProfile): string[] =>
  Object.entries(quality).map(
    ([part, { meanRelativeError, mostRelativeError, rSquared }]) =>
      `fit of ${part}: off by ${percent(meanRelativeError)} on average, ${percent(mostRelativeError)} at most, R² ${decimals(rSquared, 3)}`,
  );
