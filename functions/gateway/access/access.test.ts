import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, MODEL, readJson } from '../../../test/support/gateway/bed.ts';
import {
  bearing,
  CHAT,
  createKeyedBed,
  type KeyedBed,
  makeKey,
} from '../../../test/support/gateway/keyed-bed.ts';
import { startRedis } from '../../../test/support/gateway/redis-server.ts';
import { announce } from '../../../test/support/gateway/scripted-pool.ts';
import { startGateway } from '../node.ts';
import { KEY_CACHE_MS } from './access.ts';
import { revokeKey } from './key-store.ts';
import { parseKey } from './key-text.ts';

const OTHER_MODEL = 'org/other-model';
/** Time after which a gateway has noticed; timers may be a little early. */
const CACHED_MS = KEY_CACHE_MS + 20;

let bed: KeyedBed;
beforeAll(async () => {
  bed = await createKeyedBed();
  await announce(bed.redis.client, OTHER_MODEL, 'ready');
});
afterAll(() => bed.close());

describe('without a key', () => {
  test.each(['/v1/models', `/v1/models/${MODEL}`, `/models/${MODEL}/v1/models`, '/v1/nowhere'])(
    '%s is refused, and it is said how to send one',
    async (path) => {
      const response = await bed.get(path);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      const { error } = await readJson(response);
      expect(error).toMatchObject({ type: 'invalid_request_error', code: 'invalid_api_key', param: null });
      expect(error.message).toContain('Authorization: Bearer sk-janus-');
    },
  );

  test.each([
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/responses',
    `/models/${MODEL}/v1/chat/completions`,
  ])('nothing sent to %s reaches a pool', async (path) => {
    const before = bed.pool.jobs.length;
    expect((await bed.post(path, { ...CHAT, prompt: 'Hi', input: 'Hi' })).status).toBe(401);
    expect(bed.pool.jobs).toHaveLength(before);
  });

  test('/health and /ready answer', async () => {
    expect((await bed.get('/health')).status).toBe(200);
    expect((await bed.get('/ready')).status).toBe(200);
  });
});

describe('a key is refused', () => {
  const refusal = async (headers: Record<string, string>) => {
    const response = await bed.get('/v1/models', headers);
    expect(response.status).toBe(401);
    return response.text();
  };

  test('that is unknown, wrong, or none of ours, each in the same words', async () => {
    const right = await bed.makeKey();
    const { id } = parseKey(right)!;
    const headers = [
      `Bearer sk-janus-${'0'.repeat(16)}-${'0'.repeat(64)}`,
      `Bearer sk-janus-${id}-${'0'.repeat(64)}`,
      `Bearer ${right}0`,
      `Bearer ${right.slice(0, -1)}`,
      'Bearer none',
      `Basic ${right}`,
      right,
    ];
    const texts = await Promise.all(headers.map((Authorization) => refusal({ Authorization })));
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain('"invalid_api_key"');
    expect(texts[0]).not.toContain('sk-');
    for (const Authorization of [`Bearer ${right}`, `bearer   ${right}`]) {
      expect((await bed.get('/v1/models', { Authorization })).status).toBe(200);
    }
  });

  test('that was revoked, by all gateways and soon', async () => {
    const key = await bed.makeKey();
    const addresses = [bed.address, await bed.open()];
    const statuses = async () => {
      const answers = addresses.map((address) => fetch(`${address}/v1/models`, { headers: bearing(key) }));
      return (await Promise.all(answers)).map(({ status }) => status);
    };
    expect(await statuses()).toEqual([200, 200]);
    await revokeKey(bed.redis.client, parseKey(key)!.id, Date.now());
    await sleep(CACHED_MS);
    expect(await statuses()).toEqual([401, 401]);
    expect(await refusal(bearing(key))).toBe(await refusal(bearing('none')));
  });

  test('for a model that it does not allow, as if there were none', async () => {
    const key = await bed.makeKey({ models: [OTHER_MODEL] });
    const before = bed.pool.jobs.length;
    const message = async (response: Response) => {
      expect(response.status).toBe(404);
      const { error } = await readJson(response);
      expect(error).toMatchObject({ type: 'invalid_request_error', code: 'model_not_found', param: 'model' });
      return String(error.message);
    };
    const withheld = await message(await bed.ask(key));
    expect(await message(await bed.ask(key, { model: 'unknown' }))).toBe(withheld.replace(MODEL, 'unknown'));
    await message(await bed.get(`/v1/models/${MODEL}`, bearing(key)));
    await message(await bed.get(`/models/${MODEL}/v1/models`, bearing(key)));
    await message(await bed.post(`/models/${MODEL}/v1/chat/completions`, CHAT, { headers: bearing(key) }));
    expect(bed.pool.jobs).toHaveLength(before);

    const list = async (who: string) => {
      const { data } = await readJson(await bed.get('/v1/models', bearing(who)));
      return (data as unknown as { id: string }[]).map(({ id }) => id);
    };
    expect(await list(key)).toEqual([OTHER_MODEL]);
    expect(await list(await bed.makeKey())).toEqual([OTHER_MODEL, MODEL]);
    expect((await bed.get(`/v1/models/${OTHER_MODEL}`, bearing(key))).status).toBe(200);
    expect((await bed.ask(await bed.makeKey({ models: [MODEL] }))).status).toBe(200);
  });

  test('of the other class, on either side', async () => {
    const [api, admin] = [await bed.makeKey(), await bed.makeKey({ class: 'admin' })];
    for (const path of ['/metrics', '/admin/anything']) {
      expect((await bed.get(path)).status).toBe(401);
      const response = await bed.get(path, bearing(api));
      expect(response.status).toBe(403);
      expect((await readJson(response)).error).toMatchObject({
        code: 'insufficient_permissions',
        message: expect.stringContaining('class admin'),
      });
    }
    expect((await bed.get('/metrics', bearing(admin))).status).toBe(200);
    expect((await bed.get('/admin/anything', bearing(admin))).status).toBe(404);
    expect((await bed.get('/v1/models', bearing(admin))).status).toBe(403);
    expect((await bed.ask(admin)).status).toBe(403);
  });
});

describe.concurrent('where no key exists', () => {
  test('none is needed, until there is one, and then for good', async () => {
    const open = await createGatewayBed();
    const statusOf = async (headers: Record<string, string> = {}, path = '/v1/models') =>
      (await fetch(open.address + path, { headers })).status;
    expect(await statusOf()).toBe(200);
    expect(await statusOf(bearing('none'))).toBe(200);
    expect(await statusOf({}, '/metrics')).toBe(200);
    const key = await makeKey(open.redis.client);
    await sleep(CACHED_MS);
    expect(await statusOf()).toBe(401);
    expect(await statusOf({}, '/metrics')).toBe(401);
    expect(await statusOf(bearing(key))).toBe(200);
    await revokeKey(open.redis.client, parseKey(key)!.id, Date.now());
    await sleep(CACHED_MS);
    expect(await statusOf(bearing(key))).toBe(401);
    expect(await statusOf()).toBe(401);
    await open.close();
  });

  test('/metrics answers while Redis is away, as before', async () => {
    const redis = await startRedis();
    const open = await startGateway({
      redisUrl: redis.url,
      host: '127.0.0.1',
      port: 0,
      log: { warn() {}, error() {} },
    });
    const metrics = () => fetch(`http://127.0.0.1:${open.port}/metrics`);
    expect((await metrics()).status).toBe(200);
    await redis.stop();
    await sleep(CACHED_MS);
    expect((await metrics()).status).toBe(200);
    await open.close(0);
  });
});
