import { decodeTimes } from '../peer/measure/decode-times.ts';
import { markdownTable, median, percentile } from '../results.ts';
import type { LoadRun } from './load-run.ts';
import type { RequestTimes } from './request-times.ts';
import { LAYERS, type Part, profileSteps, type StepProfile } from './step-profile.ts';

/** What the runs of one batch say together. */
export interface BatchProfile {
  readonly batch: number;
  readonly profile: StepProfile;
  /** Least and most of the mean steps of the single runs. */
  readonly stepRangeMs: readonly [number, number];
  /** As clients see it, medians and percentiles over all runs. */
  readonly tokensPerSecond: number;
  readonly tpotP50Ms: number;
  readonly tpotP99Ms: number;
  /** Tokens that each sequence generated. */
  readonly tokens: number;
  readonly requests: readonly RequestTimes[];
}

const US_PER_MS = 1_000;

export function summariseBatch(batch: number, runs: readonly LoadRun[]): BatchProfile {
  const stepsMs = runs.map(({ span }) => profileSteps([span]).step.ms);
  const decoded = runs.map(({ readAtMs }) => decodeTimes(readAtMs));
  const gapsMs = decoded.flatMap((times) => times.gapsMs);
  return {
    batch,
    profile: profileSteps(runs.map(({ span }) => span)),
    stepRangeMs: [Math.min(...stepsMs), Math.max(...stepsMs)],
    tokensPerSecond: median(decoded.map((times) => times.tokensPerSecond)),
    tpotP50Ms: percentile(gapsMs, 0.5),
    tpotP99Ms: percentile(gapsMs, 0.99),
    tokens: Math.max(...runs.flatMap(({ readAtMs }) => readAtMs.map((of) => of.length))),
    requests: runs.flatMap(({ requests }) => requests),
  };
}

/** The tables of one batch: parts of the step, threads that compute experts, and what comes before and after steps. */
export function describeBatch({ batch, profile, requests }: BatchProfile): string {
  return [
    `### Batch ${batch}`,
    markdownTable(partRows(profile)),
    markdownTable(
      profile.experts.map(({ thread, groupsPerLayerStep, usPerGroup, msPerStep }) => ({
        'computes experts': thread,
        'groups per layer step': groupsPerLayerStep.toFixed(2),
        'µs per group': usPerGroup.toFixed(1),
        'ms per step': msPerStep.toFixed(3),
        'share of the step': percent(msPerStep / profile.step.ms),
      })),
    ),
    markdownTable([
      besideRow(
        'request: sent → accepted by the gateway',
        requests.map(({ acceptMs }) => acceptMs),
      ),
      besideRow(
        'queue: accepted → taken by the host (BullMQ)',
        requests.map(({ queueMs }) => queueMs),
      ),
      besideRow(
        'prefill: taken → first token in Redis',
        requests.map(({ firstTokenMs }) => firstTokenMs),
      ),
      {
        'beside the steps': 'stream: step ended → its tokens in Redis',
        'mean ms': profile.storeMs.toFixed(2),
        'p50 ms': '',
        'p99 ms': '',
      },
      besideRow(
        'stream: token in Redis → read by its client (SSE)',
        requests.flatMap(({ readMs }) => readMs),
      ),
    ]),
  ].join('\n\n');
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

function partRows({ step, layers }: StepProfile): Record<string, string>[] {
  const rows = (part: Part, depth: number, inLayers: boolean): Record<string, string>[] => [
    {
      part: `${'· '.repeat(depth)}${part.name}`,
      'ms per step': part.ms.toFixed(3),
      'share of the step': percent(part.ms / step.ms),
      'µs per layer step': inLayers ? ((part.ms * US_PER_MS) / layers).toFixed(1) : '',
    },
    ...part.parts.flatMap((each) => rows(each, depth + 1, inLayers || part.name === LAYERS)),
  ];
  return rows(step, 0, false);
}

function besideRow(name: string, values: readonly number[]): Record<string, string> {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    'beside the steps': name,
    'mean ms': mean.toFixed(2),
    'p50 ms': percentile(values, 0.5).toFixed(2),
    'p99 ms': percentile(values, 0.99).toFixed(2),
  };
}
