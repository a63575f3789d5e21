import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL, readJson } from '../../../test/support/gateway/bed.ts';

const LIMIT = 100;
let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed({ limits: { promptCharacters: LIMIT } });
});
afterAll(() => bed.close());

const chat = (...texts: string[]) => ({
  messages: texts.map((content) => ({ role: 'user', content })),
});
const half = 'x'.repeat(LIMIT / 2);

test.each<[string, object]>([
  ['chat/completions', chat(half, half)],
  ['completions', { prompt: [half, half] }],
  ['completions', { prompt: Array.from({ length: LIMIT }, () => 1) }],
  ['responses', { input: half + half }],
])('%s takes a prompt of just the limit', async (path, body) => {
  expect((await bed.post(`/v1/${path}`, { model: MODEL, ...body })).status).toBe(200);
});

test.each<[string, string, object]>([
  ['chat/completions', 'messages', chat(half, half, 'x')],
  ['completions', 'prompt', { prompt: [half, `${half}x`] }],
  ['completions', 'prompt', { prompt: [half, Array.from({ length: LIMIT }, () => 1)] }],
  ['responses', 'input', { input: `${half}${half}x` }],
])('%s refuses one that is larger, and names %s', async (path, param, body) => {
  const before = bed.pool.jobs.length;
  const response = await bed.post(`/v1/${path}`, { model: MODEL, ...body });
  expect(response.status).toBe(400);
  const { error } = await readJson(response);
  expect(error).toMatchObject({ type: 'invalid_request_error', code: 'string_above_max_length', param });
  expect(error.message).toMatch(new RegExp(`'${param}'.* at most ${LIMIT} `));
  expect(bed.pool.jobs).toHaveLength(before);
});
