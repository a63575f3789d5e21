import { describe, expect, it } from 'vitest';
import { staticPlacement } from '../../../shared/placement/placement.ts';
import { formatStatus } from './format-status.ts';
import type { ModelStatus } from './read-status.ts';

const NOW_MS = 1_800_000_000_000;

const starting: ModelStatus = {
  model: 'words',
  card: null,
  hosts: [],
  placement: null,
  queue: { waiting: 0, active: 0 },
};

const serving: ModelStatus = {
  model: 'words',
  card: { id: 'words', created: 1, contextLength: 512, vocabularySize: 4_096 },
  hosts: [
    {
      host: 'a1',
      role: 'attention',
      model: 'words',
      weightForm: 'f32',
      process: 7,
      startedAtMs: NOW_MS - 9_000,
      heartbeatAtMs: NOW_MS - 400,
      attention: [
        {
          id: 'a1-0',
          state: 'ready',
          slots: 32,
          slotsInUse: 5,
          waiting: 2,
          prefixCache: {
            blocks: 12,
            bytes: 12 * 2 ** 20,
            maxBytes: 256 * 2 ** 20,
            hits: 3,
            hitTokens: 448,
            missTokens: 300,
            evictions: 7,
          },
          steps: 0,
          phasesMs: {},
        },
      ],
      experts: [],
      traffic: [],
      exchange: {
        layerSteps: 1_200,
        meanAMax: 2.345,
        regimes: [
          { regime: 'direct', layerSteps: 1_180, meanPredictedUs: 2_080.4, meanMeasuredUs: 2_112 },
          { regime: 'relay', layerSteps: 0, meanPredictedUs: 0, meanMeasuredUs: 0 },
        ],
      },
      address: null,
      sizing: null,
    },
    {
      host: 'e1',
      role: 'experts',
      model: 'words',
      weightForm: 'f32',
      process: 1_234,
      startedAtMs: NOW_MS - 9_000,
      // A clock that goes before ours.
      heartbeatAtMs: NOW_MS + 2_000,
      attention: [],
      traffic: [],
      exchange: null,
      address: null,
      sizing: null,
      experts: [
        {
          id: 0,
          state: 'loading',
          slots: 4,
          layerSteps: 8,
          meanActivated: 1.25,
          maxActivated: 3,
          groups: 0,
          groupsMs: 0,
        },
      ],
    },
  ],
  placement: staticPlacement({
    version: 3,
    model: 'words',
    layers: 2,
    experts: 4,
    capacity: 4,
    instances: [{ id: 0, host: 'e1' }],
  }),
  queue: { waiting: 6, active: 7 },
};

describe('formatStatus', () => {
  it('shows queue, placement and one row per instance in columns', () => {
    expect(formatStatus({ models: [serving] }, NOW_MS).split('\n')).toEqual([
      'words: context length 512; 6 sequences queued, 7 under way',
      'placement version 3: 4 experts in each of 2 layers; expert instances: 1, with 4 replica slots per layer',
      'a1: 1200 layer steps, a_max 2.35 on average; direct 1180 steps, predicted 2080 µs, measured 2112 µs',
      'a1-0: prefix cache of 12 blocks, 12.0 MiB of 256.0 MiB; 448 of 748 prompt tokens found; 7 blocks evicted',
      'host  role       process  heartbeat  instance        state    load',
      'a1    attention  7        0.4 s ago  attention a1-0  ready    5 of 32 KV slots, 2 waiting',
      'e1    experts    1234     0.0 s ago  expert 0        loading  1.3 experts activated per layer step, at most 3',
    ]);
  });

  it('says nothing of a prefix cache where none is kept', () => {
    const [host] = serving.hosts;
    const attention = host!.attention.map((instance) => ({ ...instance, prefixCache: null }));
    const without = formatStatus({ models: [{ ...serving, hosts: [{ ...host!, attention }] }] }, NOW_MS);
    expect(without).toContain('a1-0');
    expect(without).not.toContain('prefix cache');
  });

  it('says why a host has as many instances as it has', () => {
    const sizing = { attention: 1, experts: 1, reason: '2 cores; 1 attention instance (set by --attention)' };
    const hosts = [{ ...serving.hosts[0]!, role: 'both' as const, sizing }];
    expect(formatStatus({ models: [{ ...serving, hosts }] }, NOW_MS).split('\n')).toContain(
      'a1: 2 cores; 1 attention instance (set by --attention)',
    );
  });

  it('says why a model that is scaled has no hosts', () => {
    const wanted = { version: 4, attention: 0, experts: 0, atMs: NOW_MS, reason: 'No demand since 60 s' };
    const last = (scaling: NonNullable<ModelStatus['scaling']>) =>
      formatStatus({ models: [{ ...starting, scaling }] }, NOW_MS)
        .split('\n')
        .at(-1);
    expect(last({ wanted })).toBe('asleep until somebody asks for it: No demand since 60 s');
    const awake = { ...wanted, attention: 1, experts: 2, reason: '3 tokens/s' };
    expect(last({ wanted: awake })).toMatch(/^no host is alive; its scaler wants 1A2E, .*: 3 tokens\/s$/);
    expect(last({ wanted: null })).toContain('`janus scaler run`');
  });

  it('says what is not there yet', () => {
    expect(formatStatus({ models: [starting] }, NOW_MS)).toBe(
      'words: not announced yet; 0 sequences queued, 0 under way\nno placement\nno host is alive',
    );
    expect(formatStatus({ models: [] }, NOW_MS)).toBe('No host has registered with this Redis.');
  });
});
