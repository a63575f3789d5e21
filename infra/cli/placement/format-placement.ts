import { formatBytes } from '../options/byte-count.ts';
import { formatTable } from '../table.ts';
import type { PlacementView } from './placement-view.ts';
import type { PlacementPlan } from './plan-placement.ts';

const decimals = (value: number): string => value.toFixed(2);

export function formatView(view: PlacementView): string {
  const { model, version, layers, experts, capacity, loadTokens, traceRows } = view;
  const lines = [
    `${model}: placement version ${version}, ${experts} experts in each of ${layers} layers, ${capacity} replica slots per ` +
      'instance and layer',
  ];
  const header = ['instance', 'host', 'replicas', `activated per layer step of ${loadTokens} tokens`];
  const rows = view.instances.map(({ id, host, replicas, meanActivated }) => [
    String(id),
    host,
    `${replicas} of ${layers * capacity}`,
    meanActivated === null ? '?' : decimals(meanActivated),
  ]);
  lines.push(...formatTable([header, ...rows], [2, 3]));
  if (view.aMax.length === 0) {
    return [...lines, 'no activation trace yet: what the traffic makes of it is not known'].join('\n');
  }
  const aMax = view.aMax.map(({ tokens, meanAMax }) => [String(tokens), decimals(meanAMax)]);
  lines.push(`expected a_max, from ${traceRows} tokens of late`);
  return [...lines, ...formatTable([['tokens', 'a_max'], ...aMax], [0, 1])].join('\n');
}

export function formatPlan(plan: PlacementPlan): string {
  const { model, from, placement, moves, movedBytes } = plan;
  if (moves.length === 0) {
    return `${model}: no move is worth its bytes or fits the bound; placement version ${from} stays`;
  }
  const receivers = new Set(moves.map((move) => move.instance)).size;
  const rows = plan.aMax.map(({ tokens, before, after }) => [
    String(tokens),
    decimals(before),
    decimals(after),
    `${((after / before - 1) * 100).toFixed(1)}%`,
  ]);
  const { before: survived, after: survive, of } = plan.covered;
  return [
    `${model}: planned to follow version ${from}, ${placement.capacity} replica slots per instance and layer`,
    `${moves.length} replicas to load on ${receivers} instances, ${formatBytes(movedBytes)}`,
    'expected a_max',
    ...formatTable([['tokens', `version ${from}`, 'planned', 'change'], ...rows], [0, 1, 2, 3]),
    `experts that survive the death of any one host: ${survive} of ${of}, ${survived} before`,
  ].join('\n');
}
