import type { AttentionStatistics } from '../../gpu-pool/attention/worker-protocol.ts';
import type { ExpertInstanceRecord } from '../../shared/protocol/member.ts';
import { formatTable } from '../cli/table.ts';
import type { Answer } from './ask.ts';

const MS_PER_S = 1_000;
const US_PER_MS = 1_000;
const NUMBER_COLUMNS = [1, 2, 3, 4];

const milliseconds = (valueMs: number): string => `${valueMs.toFixed(2)} ms`;
const perSecond = (count: number, durationMs: number): string => ((count / durationMs) * MS_PER_S).toFixed(1);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** What the client saw: one row per question, and one for all of them, which were asked one after another. */
export function formatAnswers(answers: readonly Answer[]): string[] {
  const rows = answers.map((answer) => [
    answer.question,
    String(answer.completionTokens),
    milliseconds(answer.firstTokenMs),
    answer.perTokenMs === null ? '-' : milliseconds(answer.perTokenMs),
    perSecond(answer.completionTokens, answer.totalMs),
  ]);
  const tokens = sum(answers.map((answer) => answer.completionTokens));
  const totalMs = sum(answers.map((answer) => answer.totalMs));
  return formatTable(
    [
      ['over HTTP', 'tokens', 'TTFT', 'TPOT', 'tokens/s'],
      ...rows,
      ['in all', String(tokens), '', '', perSecond(tokens, totalMs)],
    ],
    NUMBER_COLUMNS,
  );
}

/** What the expert instances counted since their start. */
export function formatExperts(experts: readonly ExpertInstanceRecord[]): string[] {
  const rows = experts.map(({ id, meanActivated, maxActivated }) => [
    `expert instance ${id}`,
    meanActivated.toFixed(2),
    String(maxActivated),
  ]);
  return formatTable([['experts activated per layer step', 'mean', 'largest'], ...rows], NUMBER_COLUMNS);
}

/**
 * What the links measured since they were opened, prefill and the first, cold steps included. A round trip lasts from the
 * routed rows to the combined outputs, with the experts' computation between them.
 */
export function formatExchange(links: AttentionStatistics['links']): string[] {
  const rows = links.map((link) => [
    `attention to experts and back, ${link.kind}`,
    String(link.layerSteps),
    Math.round(link.bytes / link.layerSteps).toLocaleString('en'),
    milliseconds(link.totalRoundTripUs / link.layerSteps / US_PER_MS),
    milliseconds(link.maxRoundTripUs / US_PER_MS),
  ]);
  return formatTable(
    [
      [
        'exchange per layer step, experts computing included',
        'layer steps',
        'mean bytes',
        'mean round trip',
        'largest round trip',
      ],
      ...rows,
    ],
    NUMBER_COLUMNS,
  );
}
