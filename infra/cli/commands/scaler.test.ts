import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROFILE } from '../../../functions/scaler/scaler.fixture.ts';
import { storeProfile } from '../../../functions/scaler/scaler-store.ts';
import { announce } from '../../../test/support/gateway/scripted-pool.ts';
import { usePrograms } from '../../../test/support/program.ts';
import { useRedis } from '../../../test/support/redis.ts';

const MODEL = 'dictionary-moe';
const SET = [
  'set',
  '--tpot-ms',
  '25',
  '--ttft-ms',
  '900',
  '--max-attention',
  '3',
  '--max-experts',
  '4',
  '--floor',
  '1A2E',
  '--idle-s',
  '90',
];
const server = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
afterAll(() => redis.disconnect());

const start = (...args: string[]) => janus(['scaler', ...args], { REDIS_URL: server.url });

describe('janus scaler', () => {
  it('sets a target, runs, and explains what it decided', async () => {
    const set = await start(...SET).ended;
    expect(set).toMatchObject({ status: 0, stderr: '' });
    expect(set.stdout).toContain(
      `${MODEL}: TPOT of at most 25 ms and TTFT of at most 900 ms on 1A1E to 3A4E, 32 sequences per attention instance; 1A2E when idle for 90 s`,
    );
    expect(set.stdout).toContain('`janus profile` measures one');
    await storeProfile(redis, MODEL, PROFILE);
    await announce(redis, MODEL, 'ready');

    const running = start('run', '--interval-ms', '100');
    await running.waitFor(/scaling every 100 ms/);
    while ((await redis.keys('*wanted-sizes')).length === 0) await redis.ping();
    running.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ status: 0, stderr: '' });

    const explained = await start('explain', '--last', '1', '--json').ended;
    expect(JSON.parse(explained.stdout)).toMatchObject([
      { action: 'stay', wanted: { attention: 1, experts: 1 }, correction: 1 },
    ]);
    const shown = await start('show').ended;
    expect(shown.stdout).toMatch(/wanted: 1A1E since .* \(version 1\)\n.*No demand/);
  });

  it.each([
    [
      ['--tpot-ms', '5', '--max-attention', '1', '--max-experts', '1', '--min-experts', '2'],
      /--min-experts is larger/,
    ],
    [
      ['--tpot-ms', '5', '--max-attention', '1', '--max-experts', '2', '--floor', '2x'],
      /--floor is "2x".*2A4E/,
    ],
  ])('refuses %j', async (flags, message) => {
    const { status, stderr } = await start('set', ...flags).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
  });
});
