import type {
  AttentionInstanceRecord,
  ExchangeRecord,
  HostRecord,
  PrefixCacheRecord,
} from '../../../shared/protocol/member.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { formatBytes } from '../options/byte-count.ts';
import { sizesName } from '../scaler/pool-sizes.ts';
import { formatTable } from '../table.ts';
import type { ModelStatus, SystemStatus } from './read-status.ts';

const MS_PER_S = 1_000;
const HEADER = ['host', 'role', 'process', 'heartbeat', 'instance', 'state', 'load'];

/** @param nowMs Unix time */
export function formatStatus(status: SystemStatus, nowMs: number): string {
  if (status.models.length === 0) return 'No host has registered with this Redis.';
  return status.models.map((model) => formatModel(model, nowMs)).join('\n\n');
}

function formatModel({ model, card, hosts, placement, queue, scaling }: ModelStatus, nowMs: number): string {
  const context = card === null ? 'not announced yet' : `context length ${card.contextLength}`;
  const lines = [
    `${model}: ${context}; ${queue.waiting} sequences queued, ${queue.active} under way`,
    placement === null ? 'no placement' : formatPlacement(placement),
  ];
  if (hosts.length === 0) return [...lines, formatAbsence(scaling)].join('\n');
  const rows = hosts.flatMap((host) => instanceRows(host, nowMs));
  const exchanges = hosts.flatMap((host) =>
    host.exchange?.layerSteps ? [formatExchange(host.host, host.exchange)] : [],
  );
  const prefixCaches = hosts.flatMap((host) => host.attention.flatMap(prefixCacheLine));
  const sizings = hosts.flatMap(({ host, sizing }) => (sizing ? [`${host}: ${sizing.reason}`] : []));
  return [...lines, ...sizings, ...exchanges, ...prefixCaches, ...formatTable([HEADER, ...rows])].join('\n');
}

/** Why a model has no hosts, as far as its scaler tells. */
function formatAbsence(scaling: ModelStatus['scaling']): string {
  if (scaling === undefined) return 'no host is alive';
  const { wanted } = scaling;
  if (wanted === null) return 'no host is alive, and no size is wanted yet: `janus scaler run` decides on it';
  if (wanted.attention + wanted.experts === 0) return `asleep until somebody asks for it: ${wanted.reason}`;
  return (
    `no host is alive; its scaler wants ${sizesName(wanted)}, which \`janus supervise\` or \`janus actuate\` starts: ` +
    wanted.reason
  );
}

function formatPlacement({ version, experts, layers, instances, capacity }: Placement): string {
  return (
    `placement version ${version}: ${experts} experts in each of ${layers.length} layers; expert instances: ` +
    `${instances.length}, with ${capacity} replica slots per layer`
  );
}

/** Predicted and measured time of each regime side by side, so that one sees whether the choice between them is founded. */
function formatExchange(host: string, { layerSteps, meanAMax, regimes }: ExchangeRecord): string {
  const chosen = regimes
    .filter((record) => record.layerSteps > 0)
    .map(
      ({ regime, layerSteps: steps, meanPredictedUs, meanMeasuredUs }) =>
        `; ${regime} ${steps} steps, predicted ${meanPredictedUs.toFixed(0)} µs, measured ${meanMeasuredUs.toFixed(0)} µs`,
    );
  return `${host}: ${layerSteps} layer steps, a_max ${meanAMax.toFixed(2)} on average${chosen.join('')}`;
}

function prefixCacheLine({ id, prefixCache }: AttentionInstanceRecord): string[] {
  return prefixCache === null ? [] : [`${id}: ${formatPrefixCache(prefixCache)}`];
}

function formatPrefixCache(record: PrefixCacheRecord): string {
  const { blocks, bytes, maxBytes, hitTokens, missTokens, evictions } = record;
  const held = `${blocks} blocks, ${formatBytes(bytes)} of ${formatBytes(maxBytes)}`;
  const found = `${hitTokens} of ${hitTokens + missTokens} prompt tokens found`;
  return `prefix cache of ${held}; ${found}; ${evictions} blocks evicted`;
}

function instanceRows(host: HostRecord, nowMs: number): string[][] {
  const seconds = Math.max(0, (nowMs - host.heartbeatAtMs) / MS_PER_S).toFixed(1);
  const common = [host.host, host.role, String(host.process), `${seconds} s ago`];
  const attention = host.attention.map(({ id, state, slots, slotsInUse, waiting }) => [
    ...common,
    `attention ${id}`,
    state,
    `${slotsInUse} of ${slots} KV slots, ${waiting} waiting`,
  ]);
  const experts = host.experts.map(({ id, state, meanActivated, maxActivated }) => [
    ...common,
    `expert ${id}`,
    state,
    `${meanActivated.toFixed(1)} experts activated per layer step, at most ${maxActivated}`,
  ]);
  return [...attention, ...experts];
}
