import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { FAST_LIMITS } from '../../../test/support/gateway/batch-bed.ts';
import { MODEL } from '../../../test/support/gateway/bed.ts';
import { bearing, CHAT, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { parseKey } from './key-text.ts';

const SECRET_PROMPT = 'the-heron-flies-at-midnight';

const lines: string[] = [];
let folder: string;
let bed: KeyedBed;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'janus-secrets-'));
  bed = await createKeyedBed({
    log: pino({ level: 'trace' }, { write: (line) => void lines.push(line) }),
    files: { folder, limits: FAST_LIMITS },
  });
});
beforeEach(() => {
  lines.length = 0;
});
afterAll(async () => {
  await bed.close();
  await rm(folder, { recursive: true });
});

test('neither the log nor the metrics hold a key, a prompt or an answer', async () => {
  const key = await bed.makeKey({ requestsPerMinute: 3 });
  const admin = await bed.makeKey({ class: 'admin' });
  const messages = [{ role: 'user', content: SECRET_PROMPT }];
  const wrong = `sk-janus-${'1'.repeat(16)}-${'2'.repeat(64)}`;
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, [`${SECRET_PROMPT} is the answer`])));
  expect((await bed.ask(key, { messages })).status).toBe(200);
  expect((await bed.ask(wrong, { messages })).status).toBe(401);
  expect((await bed.ask(key, { messages, temperature: 9 })).status).toBe(400);
  // A hole in the journal is a defect, which is reported.
  bed.pool.play(({ choice }, emit) => emit(answer(choice, [])[0], answer(choice, ['a', SECRET_PROMPT])[2]));
  expect((await bed.ask(key, { messages })).status).toBe(500);
  // Where the first event arrives before the hole, the stream has begun, and the error is an event of it.
  const streamed = await bed.ask(key, { messages, stream: true });
  expect([200, 500]).toContain(streamed.status);
  expect(await streamed.text()).toContain('internal_error');
  expect((await bed.ask(key, { messages })).status).toBe(429);
  const metrics = await (await bed.get('/metrics', bearing(admin))).text();
  const told = lines.join('\n');
  expect(told).toContain('lacks token 0');
  expect(metrics).toContain(MODEL);
  for (const secret of [key, admin, wrong, SECRET_PROMPT].map((text) => parseKey(text)?.secret ?? text)) {
    expect(told).not.toContain(secret);
    expect(metrics).not.toContain(secret);
  }
});

test('nor do they of the other APIs, of what is broken or left, of files and of batches', async () => {
  const key = await bed.makeKey();
  const admin = await bed.makeKey({ class: 'admin' });
  const json = (path: string, body: object | string, signal: AbortSignal | null = null) =>
    fetch(`${bed.address}${path}?key=${key}`, {
      method: 'POST',
      headers: { ...bearing(key), 'X-Prompt': SECRET_PROMPT },
      body: typeof body === 'string' ? body : JSON.stringify({ model: MODEL, ...body }),
      signal,
    });
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, [SECRET_PROMPT])));
  for (const stream of [false, true]) {
    const responses = [
      json('/v1/completions', { prompt: SECRET_PROMPT, stop: [SECRET_PROMPT], stream }),
      json('/v1/responses', { input: SECRET_PROMPT, metadata: { a: SECRET_PROMPT }, stream }),
      json('/v1/chat/completions', { ...CHAT, model: SECRET_PROMPT, stream }),
      json('/v1/chat/completions', `{"messages": "${SECRET_PROMPT}`),
      json('/v1/embeddings', { input: SECRET_PROMPT }),
    ];
    for (const response of responses) await (await response).text();
  }

  bed.pool.play(({ choice }, emit) => emit(...answer(choice, [SECRET_PROMPT]).slice(0, 2)));
  const client = new AbortController();
  const left = await json('/v1/completions', { prompt: SECRET_PROMPT, stream: true }, client.signal);
  await left.body!.getReader().read();
  client.abort();

  bed.pool.play(({ choice }, emit) => emit(answer(choice, [])[0], answer(choice, ['a', SECRET_PROMPT])[2]));
  const body = { ...CHAT, messages: [{ role: 'user', content: SECRET_PROMPT }] };
  const line = { custom_id: SECRET_PROMPT, method: 'POST', url: '/v1/chat/completions', body };
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([`${JSON.stringify(line)}\n`]), `${SECRET_PROMPT}.jsonl`);
  const upload = await fetch(`${bed.address}/v1/files`, {
    method: 'POST',
    headers: bearing(key),
    body: form,
  });
  const { id: file } = (await upload.json()) as { id: string };
  const created = await json('/v1/batches', {
    input_file_id: file,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    metadata: { a: SECRET_PROMPT },
  });
  const { id: batch } = (await created.json()) as { id: string };
  await vi.waitFor(
    async () => {
      const response = await bed.get(`/v1/batches/${batch}`, bearing(key));
      expect(((await response.json()) as { status: string }).status).toBe('completed');
    },
    { timeout: 10_000, interval: 50 },
  );

  const told = lines.join('\n') + (await (await bed.get('/metrics', bearing(admin))).text());
  expect(told).toContain('/v1/responses');
  expect(told).toContain('499');
  for (const secret of [key, admin].map((text) => parseKey(text)!.secret)) expect(told).not.toContain(secret);
  expect(told).not.toContain(SECRET_PROMPT);
});
