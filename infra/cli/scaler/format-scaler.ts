import type { ScalerInputs } from '../../../functions/scaler/scaler-store.ts';
import type { PerformanceProfile, ScalerDecision, ScalingTarget } from '../../../shared/protocol/scaling.ts';
import { correctionOf, driftOf } from '../../../shared/scaling/refine.ts';
import { sizesName } from './pool-sizes.ts';

const MS_PER_S = 1_000;
const MS_PER_MINUTE = 60_000;
const percent = (share: number): string => `${(100 * share).toFixed(0)}%`;
const timeOf = (ms: number): string => new Date(ms).toISOString();

/** What a scaler knows of a model. @param nowMs Unix time */
export function formatScaler(model: string, inputs: ScalerInputs, nowMs: number): string {
  const { target, profile, record, wanted, trafficTable } = inputs;
  const lines = [
    target === null
      ? `${model}: no target; \`janus scaler set\` gives one`
      : `${model}: ${formatTarget(target)}`,
    profile === null ? 'no profile; `janus profile` measures one' : formatProfile(profile, nowMs),
    wanted === null
      ? 'no size is wanted yet: no scaler has run'
      : `wanted: ${sizesName(wanted)} since ${timeOf(wanted.atMs)} (version ${wanted.version})\n  ${wanted.reason}`,
  ];
  if (trafficTable !== null) lines.push(`a_max as routed until ${timeOf(trafficTable.madeAtMs)}`);
  if (record !== null) lines.push(formatFit(correctionOf(record.refinement), driftOf(record.refinement)));
  return lines.join('\n');
}

/** Decisions, newest first as they are read. */
export function formatDecisions(decisions: readonly ScalerDecision[]): string {
  if (decisions.length === 0) return 'No decision yet: `janus scaler run` makes them.';
  const { correction, drift } = decisions[0]!;
  const lines = decisions.map(
    ({ atMs, action, wanted, ready, reason }) =>
      `${timeOf(atMs)}  ${action.padEnd(4)}  wanted ${sizesName(wanted)}, ready ${sizesName(ready)}: ${reason}`,
  );
  return [...lines, formatFit(correction, drift)].join('\n');
}

const formatFit = (correction: number, drift: number): string =>
  `the profile's times are multiplied by ${correction.toFixed(2)}; without that they are off by ${percent(drift)}`;

function formatTarget({ tpotMs, ttftMs, bounds, limits }: ScalingTarget): string {
  const { leastAttention, mostAttention, leastExperts, mostExperts, sequencesPerAttention } = bounds;
  const least = sizesName({ attention: leastAttention, experts: leastExperts });
  const most = sizesName({ attention: mostAttention, experts: mostExperts });
  const firstToken = ttftMs === undefined ? '' : ` and TTFT of at most ${ttftMs} ms`;
  return (
    `TPOT of at most ${tpotMs} ms${firstToken} on ${least} to ${most}, ` +
    `${sequencesPerAttention} sequences per attention instance; ` +
    `${sizesName(limits.floor)} when idle for ${limits.idleMs / MS_PER_S} s`
  );
}

function formatProfile(
  { measuredAtMs, table, capacity, quality }: PerformanceProfile,
  nowMs: number,
): string {
  const minutes = Math.max(0, Math.round((nowMs - measuredAtMs) / MS_PER_MINUTE));
  const errors = Object.entries(quality).map(
    ([part, { meanRelativeError }]) => `${part} ${percent(meanRelativeError)}`,
  );
  return (
    `profile measured ${minutes} min ago, a_max for ${table.instances[0]} to ${table.instances.at(-1)} expert instances of ` +
    `${capacity} slots; mean errors of its fits: ${errors.join(', ') || 'unknown'}`
  );
}
