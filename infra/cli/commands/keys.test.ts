import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { usePrograms } from '../../../test/support/program.ts';
import { useRedis } from '../../../test/support/redis.ts';

const KEY_LINE = /^sk-janus-([0-9a-f]{16})-[0-9a-f]{64}$/m;
const server = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterAll(() => redis.disconnect());

const start = (...args: string[]) => janus(args, { REDIS_URL: server.url });
const run = (...args: string[]) => start('keys', ...args).ended;

async function create(...args: string[]): Promise<{ key: string; id: string }> {
  const { status, stdout, stderr } = await run('create', '--name', 'ci', ...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [key, id] = KEY_LINE.exec(stdout)!;
  return { key, id: id! };
}

const statusOf = async (url: string, key: string): Promise<number> =>
  (await fetch(`${url}/v1/models`, { headers: { Authorization: `Bearer ${key}` } })).status;

describe('janus keys', () => {
  it('creates a key that a gateway takes, lists it, and revokes it', async () => {
    const { key, id } = await create();
    const gateway = start('gateway', '--port', '0', '--drain-notice', '0');
    const [, url] = await gateway.waitFor(/ready: (http\S+)\/v1/);
    expect(await statusOf(url!, key)).toBe(200);
    expect(await statusOf(url!, 'none')).toBe(401);

    const listed = await run('list');
    expect(listed.stdout).toMatch(/^id +name +class +models +requests\/min +tokens\/min +created/);
    expect(listed.stdout).toMatch(
      new RegExp(`^${id} +ci +api +all +- +- +\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d +-$`, 'm'),
    );
    expect(listed.stdout).not.toContain(key.slice(-64));

    const revoked = await run('revoke', id);
    expect(revoked).toMatchObject({ status: 0, stdout: expect.stringContaining(`${id} is revoked`) });
    await expect.poll(() => statusOf(url!, key), { timeout: 2_000 }).toBe(401);
    expect((await run('list')).stdout).toMatch(new RegExp(`^${id} .*T\\d\\d:\\d\\d +\\d{4}-\\S+$`, 'm'));
    expect((await run('revoke', id)).stdout).toContain('revoked before');
    gateway.kill('SIGTERM');
    expect((await gateway.ended).stderr).not.toContain(key);
  });

  it('keeps what its flags say', async () => {
    const models = ['--model', 'a', '--model', 'org/b'];
    const limits = ['--requests-per-minute', '60', '--tokens-per-minute', '90000'];
    const { stdout } = await run('create', '--name', 'team b', ...models, ...limits, '--json');
    const { key, id, ...created } = JSON.parse(stdout);
    expect(key).toMatch(KEY_LINE);
    expect(key).toContain(id);
    const { key: adminKey } = await create('--admin');
    const listed = JSON.parse((await run('list', '--json')).stdout);
    expect(listed).toEqual([
      {
        id,
        name: 'team b',
        class: 'api',
        models: ['a', 'org/b'],
        requestsPerMinute: 60,
        tokensPerMinute: 90_000,
        createdAtMs: expect.any(Number),
        revokedAtMs: null,
      },
      expect.objectContaining({ name: 'ci', class: 'admin', models: null }),
    ]);
    expect(created).toEqual({ ...listed[0], id: undefined });
    expect(Math.abs(listed[0].createdAtMs - Date.now())).toBeLessThan(60_000);
    // A key that leaked is revoked by pasting it.
    expect((await run('revoke', adminKey)).stdout).toContain('is revoked');
  });

  it('says that there are none', async () => {
    expect((await run('list')).stdout).toBe('There is no API key.\n');
  });

  it.each([
    ['no name', ['create'], /--name/],
    ['an empty name', ['create', '--name', ' '], /--name must have 1 to 64 printable/],
    ['a name with a line break', ['create', '--name', 'a\nb'], /--name must have 1 to 64 printable/],
    [
      'no requests',
      ['create', '--name', 'a', '--requests-per-minute', '0'],
      /--requests-per-minute is "0".*from 1/,
    ],
    [
      'part of a token',
      ['create', '--name', 'a', '--tokens-per-minute', '1.5'],
      /--tokens-per-minute is "1\.5"/,
    ],
    ['an empty model', ['create', '--name', 'a', '--model', ''], /--model is empty/],
    [
      'models of an admin key',
      ['create', '--name', 'a', '--admin', '--model', 'm'],
      /--admin.*cannot be used with.*--model/,
    ],
    [
      'a key that does not exist',
      ['revoke', '0123456789abcdef'],
      /no API key 0123456789abcdef.*janus keys list/,
    ],
    [
      'an id that is none',
      ['revoke', 'sk-janus-typo'],
      /^janus: That is not the id of an API key.*janus keys list/,
    ],
  ])('%s ends with status 1 and one clear message', async (_, args, message) => {
    const { status, stderr } = await run(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(status).toBe(1);
    expect(await redis.dbsize()).toBe(0);
  });
});

describe('a gateway that other machines reach', () => {
  it('does not start without a key, unless it may let everybody in', async () => {
    const everywhere = ['gateway', '--port', '0', '--drain-notice', '0', '--host', '0.0.0.0'];
    const refused = await start(...everywhere).ended;
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^janus: .*0\.0\.0\.0.*janus keys create.*--allow-anonymous/);

    const anonymous = start(...everywhere, '--allow-anonymous');
    const [, open] = await anonymous.waitFor(/ready: (http\S+)\/v1/);
    expect(await statusOf(open!, 'none')).toBe(200);

    const { key } = await create();
    const keyed = start(...everywhere);
    const [, url] = await keyed.waitFor(/ready: (http\S+)\/v1/);
    expect([await statusOf(url!, 'none'), await statusOf(url!, key)]).toEqual([401, 200]);
  });
});
