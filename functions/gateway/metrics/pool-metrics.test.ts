import { describe, expect, test } from 'vitest';
import type { HostRecord, TrafficRecord } from '../../../shared/protocol/member.ts';
import { hostRecord } from '../../../test/support/gateway/scripted-pool.ts';
import type { PoolStatus } from '../../dispatcher/pool-reader.ts';
import { exposition } from './exposition.ts';
import { poolFamilies } from './pool-metrics.ts';

const NOW_MS = 1_800_000_000_000;

const way = (host: string, kind: string, layerSteps: number): TrafficRecord => ({
  host,
  kind,
  layerSteps,
  messagesSent: layerSteps,
  messagesReceived: layerSteps - 1,
  bytes: 1_000 * layerSteps,
  meanRoundTripUs: 250,
  maxRoundTripUs: 900,
  combineMs: 0,
  scheduleMs: 0,
  assistMs: 0,
  assistedGroups: 0,
});

const attentionHost = (host: string, layerSteps: number, meanAMax: number): HostRecord => {
  const empty = hostRecord('m', host, 'ready');
  const [instance] = empty.attention as [HostRecord['attention'][number]];
  const prefixCache = {
    blocks: 1,
    bytes: 1,
    maxBytes: 2,
    hits: 1,
    hitTokens: 64,
    missTokens: 36,
    evictions: 0,
  };
  return {
    ...empty,
    experts: [],
    attention: [{ ...instance, slotsInUse: 3, waiting: 2, prefixCache }],
    exchange: { layerSteps, meanAMax, regimes: [] },
    traffic: [way('e', 'socket', layerSteps)],
  };
};

const expertHost = (): HostRecord => {
  const empty = hostRecord('m', 'e', 'ready');
  const [instance] = empty.experts as [HostRecord['experts'][number]];
  return {
    ...empty,
    attention: [],
    experts: [
      { ...instance, id: 0, layerSteps: 100, meanActivated: 3 },
      { ...instance, id: 1, layerSteps: 50, meanActivated: 2, state: 'loading' },
    ],
  };
};

const pool: PoolStatus = {
  model: 'm',
  hosts: [attentionHost('a', 100, 3), attentionHost('b', 300, 5), expertHost()],
  placement: { version: 7, publishedAtMs: NOW_MS - 2_500, wantedAtMs: NOW_MS - 1_500 },
  queued: 4,
};

const linesOf = (...pools: PoolStatus[]) => exposition(poolFamilies(pools, NOW_MS)).split('\n');
const valuesOf = (...pools: PoolStatus[]) =>
  linesOf(...pools).filter((line) => line !== '' && line[0] !== '#');

describe('what the pools tell', () => {
  test('is summed over hosts where it is a state, and told by host where it is counted', () => {
    expect(valuesOf(pool).filter((line) => !line.startsWith('janus:pool_instances'))).toEqual([
      'janus:num_requests_running{model_name="m"} 6',
      'janus:num_requests_waiting{model_name="m"} 8',
      'janus:kv_cache_usage_perc{model_name="m"} 0.375',
      'janus:prefix_cache_queries_total{model_name="m",engine="a-a0"} 100',
      'janus:prefix_cache_queries_total{model_name="m",engine="b-a0"} 100',
      'janus:prefix_cache_hits_total{model_name="m",engine="a-a0"} 64',
      'janus:prefix_cache_hits_total{model_name="m",engine="b-a0"} 64',
      'janus:a_max{model_name="m",host="a"} 3',
      'janus:a_max{model_name="m",host="b"} 5',
      'janus:layer_steps_total{model_name="m",host="a"} 100',
      'janus:layer_steps_total{model_name="m",host="b"} 300',
      // (100 · 3 + 50 · 2) / 100 / 2 instances, over a mean a_max of 4.5.
      `janus:balancedness{model_name="m"} ${2 / 4.5}`,
      'janus:exchange_seconds_total{model_name="m",host="a",kind="socket",peer="e"} 0.025',
      'janus:exchange_seconds_total{model_name="m",host="b",kind="socket",peer="e"} 0.075',
      'janus:exchange_layer_steps_total{model_name="m",host="a",kind="socket",peer="e"} 100',
      'janus:exchange_layer_steps_total{model_name="m",host="b",kind="socket",peer="e"} 300',
      'janus:exchange_messages_total{model_name="m",host="a",kind="socket",peer="e",direction="sent"} 100',
      'janus:exchange_messages_total{model_name="m",host="b",kind="socket",peer="e",direction="sent"} 300',
      'janus:exchange_messages_total{model_name="m",host="a",kind="socket",peer="e",direction="received"} 99',
      'janus:exchange_messages_total{model_name="m",host="b",kind="socket",peer="e",direction="received"} 299',
      'janus:exchange_bytes_total{model_name="m",host="a",kind="socket",peer="e"} 100000',
      'janus:exchange_bytes_total{model_name="m",host="b",kind="socket",peer="e"} 300000',
      'janus:placement_version{model_name="m"} 7',
      'janus:seconds_since_placement{model_name="m"} 2.5',
      'janus:seconds_in_re_placement{model_name="m"} 1.5',
      'janus:re_placement_stalled{model_name="m"} 0',
    ]);
  });

  test('counts instances by role and state, also states that nobody is in', () => {
    const counted = valuesOf(pool).filter((line) => line.startsWith('janus:pool_instances'));
    const line = (role: string, state: string, count: number) =>
      `janus:pool_instances{model_name="m",role="${role}",state="${state}"} ${count}`;
    expect(counted).toEqual([
      line('attention', 'starting', 0),
      line('attention', 'loading', 0),
      line('attention', 'ready', 2),
      line('attention', 'draining', 0),
      line('attention', 'gone', 0),
      line('experts', 'starting', 0),
      line('experts', 'loading', 1),
      line('experts', 'ready', 1),
      line('experts', 'draining', 0),
      line('experts', 'gone', 0),
    ]);
  });

  test('leaves out what is not known yet, and keeps the names', () => {
    const empty: PoolStatus = { model: 'new', hosts: [], placement: null, queued: 1 };
    expect(valuesOf(empty).filter((line) => !line.startsWith('janus:pool_instances'))).toEqual([
      'janus:num_requests_running{model_name="new"} 0',
      'janus:num_requests_waiting{model_name="new"} 1',
    ]);
    const names = (lines: string[]) => lines.filter((line) => line.startsWith('# TYPE'));
    expect(names(linesOf(empty))).toEqual(names(linesOf(pool)));
  });

  test('has no age for a placement whose time is not known', () => {
    const undated = { ...pool, placement: { version: 1, publishedAtMs: null } };
    expect(valuesOf(undated).join('\n')).toContain('janus:placement_version{model_name="m"} 1');
    expect(valuesOf(undated).join('\n')).not.toContain('seconds_since_placement');
  });

  test('alarms where the next placement loads for too long, or was given up and none came in force since', () => {
    const stalled = (placement: Partial<PoolStatus['placement']>) =>
      valuesOf({ ...pool, placement: { ...pool.placement!, ...placement } }).find((line) =>
        line.startsWith('janus:re_placement_stalled'),
      );
    const [fine, alarm] = [0, 1].map((value) => `janus:re_placement_stalled{model_name="m"} ${value}`);
    expect(stalled({ wantedAtMs: NOW_MS - 120_000 })).toBe(fine);
    expect(stalled({ wantedAtMs: NOW_MS - 120_001 })).toBe(alarm);
    expect(stalled({ givenUpVersion: 6 })).toBe(fine);
    expect(stalled({ givenUpVersion: 8 })).toBe(alarm);
  });

  test('tells what the scaler wants and how well its profile fits, where one runs', () => {
    const sizes = { wanted: { attention: 2, experts: 3 }, ready: { attention: 1, experts: 3 } };
    const fit = { correction: 1.25, drift: 0.2 };
    const scaler = { atMs: NOW_MS, action: 'up', reason: 'a burst', ...sizes, ...fit } as const;
    const lines = valuesOf({ ...pool, scaler }).filter((line) => line.startsWith('janus:scaler'));
    expect(lines).toEqual([
      'janus:scaler_wanted_instances{model_name="m",role="attention"} 2',
      'janus:scaler_wanted_instances{model_name="m",role="experts"} 3',
      'janus:scaler_model_correction{model_name="m"} 1.25',
      'janus:scaler_model_drift{model_name="m"} 0.2',
    ]);
  });
});
