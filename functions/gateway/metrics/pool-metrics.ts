import type { HostRecord, InstanceState, TrafficRecord } from '../../../shared/protocol/member.ts';
import type { PoolStatus } from '../../dispatcher/pool-reader.ts';
import type { Label, MetricFamily, Sample } from './exposition.ts';
import {
  balancedness,
  placementAge,
  rePlacementAge,
  rePlacementStalled,
  runningSequences,
  slotUsage,
  waitingSequences,
} from './pool-figures.ts';

const STATES: readonly InstanceState[] = ['starting', 'loading', 'ready', 'draining', 'gone'];
const US_PER_S = 1_000_000;

const family = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  samples: readonly Sample[],
): MetricFamily => ({ name: `janus:${name}`, help, type, samples });

const modelLabel = ({ model }: PoolStatus): Label => ['model_name', model];

/** One sample per model, but for those that have no such figure. */
function perModel(pools: readonly PoolStatus[], figure: (pool: PoolStatus) => number | null): Sample[] {
  return pools.flatMap((pool) => {
    const value = figure(pool);
    return value === null ? [] : [{ labels: [modelLabel(pool)], value }];
  });
}

/** Hosts count by themselves, since a sum over hosts would fall when one leaves, as no counter may. */
function perHost(pools: readonly PoolStatus[], figure: (host: HostRecord) => number | null): Sample[] {
  return pools.flatMap((pool) =>
    pool.hosts.flatMap((host): Sample[] => {
      const value = figure(host);
      return value === null ? [] : [{ labels: [modelLabel(pool), ['host', host.host]], value }];
    }),
  );
}

const attentionFamilies = (pools: readonly PoolStatus[]): MetricFamily[] => {
  const cacheTokens = (count: (cache: { hitTokens: number; missTokens: number }) => number): Sample[] =>
    pools.flatMap((pool) =>
      pool.hosts.flatMap((host) =>
        host.attention.flatMap(({ id, prefixCache }): Sample[] =>
          prefixCache === null
            ? []
            : [{ labels: [modelLabel(pool), ['engine', id]], value: count(prefixCache) }],
        ),
      ),
    );
  return [
    family(
      'gauge',
      'num_requests_running',
      'Sequences of the model that hold a KV slot, on all hosts; the same at every gateway.',
      perModel(pools, runningSequences),
    ),
    family(
      'gauge',
      'num_requests_waiting',
      'Sequences of the model without a KV slot, in the queue and on all hosts; the same at every gateway.',
      perModel(pools, waitingSequences),
    ),
    family(
      'gauge',
      'kv_cache_usage_perc',
      'KV slots in use over all of them; 1 means that all are.',
      perModel(pools, slotUsage),
    ),
    family(
      'counter',
      'prefix_cache_queries_total',
      'Tokens of prompts that an attention instance looked for among kept ones.',
      cacheTokens(({ hitTokens, missTokens }) => hitTokens + missTokens),
    ),
    family(
      'counter',
      'prefix_cache_hits_total',
      'Tokens of prompts that it found there.',
      cacheTokens(({ hitTokens }) => hitTokens),
    ),
  ];
};

type Way = readonly [labels: readonly Label[], traffic: TrafficRecord];

function exchangeFamilies(pools: readonly PoolStatus[]): MetricFamily[] {
  const ways = pools.flatMap((pool) =>
    pool.hosts.flatMap(({ host, traffic }) =>
      traffic.map((way): Way => {
        const { kind, host: peer } = way;
        return [[modelLabel(pool), ['host', host], ['kind', kind], ['peer', peer]], way];
      }),
    ),
  );
  const perWay = (figure: (way: TrafficRecord) => number, ...more: Label[]): Sample[] =>
    ways.map(([labels, way]) => ({ labels: [...labels, ...more], value: figure(way) }));
  return [
    family(
      'counter',
      'exchange_seconds_total',
      'Seconds that layer steps of an attention host took from it to experts and back.',
      perWay(({ layerSteps, meanRoundTripUs }) => (layerSteps * meanRoundTripUs) / US_PER_S),
    ),
    family(
      'counter',
      'exchange_layer_steps_total',
      'Layer steps that went this way.',
      perWay(({ layerSteps }) => layerSteps),
    ),
    family('counter', 'exchange_messages_total', 'Messages that went this way.', [
      ...perWay(({ messagesSent }) => messagesSent, ['direction', 'sent']),
      ...perWay(({ messagesReceived }) => messagesReceived, ['direction', 'received']),
    ]),
    family(
      'counter',
      'exchange_bytes_total',
      'Bytes that went this way, in both directions.',
      perWay(({ bytes }) => bytes),
    ),
  ];
}

function instancesFamily(pools: readonly PoolStatus[]): MetricFamily {
  const samples = pools.flatMap((pool) =>
    (['attention', 'experts'] as const).flatMap((role) => {
      const states = pool.hosts.flatMap((host) => host[role].map((instance) => instance.state));
      return STATES.map(
        (state): Sample => ({
          labels: [modelLabel(pool), ['role', role], ['state', state]],
          value: states.filter((each) => each === state).length,
        }),
      );
    }),
  );
  return family('gauge', 'pool_instances', 'Instances of living hosts, by their state.', samples);
}

const scalerFamilies = (pools: readonly PoolStatus[]): MetricFamily[] => [
  family(
    'gauge',
    'scaler_wanted_instances',
    'Instances of each pool that the scaler wants.',
    pools.flatMap((pool) =>
      pool.scaler === undefined
        ? []
        : (['attention', 'experts'] as const).map((role): Sample => {
            return { labels: [modelLabel(pool), ['role', role]], value: pool.scaler!.wanted[role] };
          }),
    ),
  ),
  family(
    'gauge',
    'scaler_model_correction',
    'What the times of the measured performance profile are multiplied by to fit those of late.',
    perModel(pools, ({ scaler }) => scaler?.correction ?? null),
  ),
  family(
    'gauge',
    'scaler_model_drift',
    'Root mean square of the relative errors of the performance profile without that; far above 0.15 it is to be measured anew.',
    perModel(pools, ({ scaler }) => scaler?.drift ?? null),
  ),
];

/**
 * What the pools tell of themselves, as metrics. Hosts renew it once a second.
 *
 * @param nowMs Unix time
 */
export function poolFamilies(pools: readonly PoolStatus[], nowMs: number): MetricFamily[] {
  const aMax = ({ exchange }: HostRecord) => (exchange?.layerSteps ? exchange.meanAMax : null);
  return [
    ...attentionFamilies(pools),
    family(
      'gauge',
      'a_max',
      'Mean over the layer steps of an attention host, since its start, of the largest number of experts that one activated ' +
        'on any expert instance.',
      perHost(pools, aMax),
    ),
    family(
      'counter',
      'layer_steps_total',
      'Layer steps of an attention host since its start, those of instances that step together once.',
      perHost(pools, ({ exchange }) => exchange?.layerSteps ?? null),
    ),
    family(
      'gauge',
      'balancedness',
      'Mean number of activated experts of an expert instance over a_max; 1 where all have as many as the busiest.',
      perModel(pools, balancedness),
    ),
    ...exchangeFamilies(pools),
    family(
      'gauge',
      'placement_version',
      'Version of the placement in force.',
      perModel(pools, ({ placement }) => placement?.version ?? null),
    ),
    family(
      'gauge',
      'seconds_since_placement',
      'Seconds since the placement in force came in force, which is the last time that a re-placement succeeded.',
      perModel(pools, (pool) => placementAge(pool, nowMs)),
    ),
    family(
      'gauge',
      'seconds_in_re_placement',
      'Seconds for which hosts have been loading the next placement; 0 where none is on its way.',
      perModel(pools, (pool) => rePlacementAge(pool, nowMs)),
    ),
    family(
      'gauge',
      're_placement_stalled',
      '1 is an alarm: the next placement has been loading for more than 120 s, or was given up and none has come in force since.',
      perModel(pools, (pool) => rePlacementStalled(pool, nowMs)),
    ),
    instancesFamily(pools),
    ...scalerFamilies(pools),
  ];
}
