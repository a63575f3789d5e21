import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { cancelledKey, resumableLeasesKey } from '../../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { MODEL, readJson } from '../../../test/support/gateway/bed.ts';
import { bearing, CHAT, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { startGateway } from '../node.ts';

const GRACE_MS = 300;
const RESUMABLE = { 'x-resumable': 'true' };
const TEXTS = ['A ', 'place ', '', 'where ', 'ships ', 'lie.'];
/** Far less than a gateway waits before it looks for events that nobody told it of, and far more than being told takes. */
const SOON_MS = 2_500;

const BODIES = {
  'chat/completions': { ...CHAT, stream: true, stream_options: { include_usage: true } },
  completions: { model: MODEL, prompt: ['Hi', 'Ho'], n: 2, stream: true },
  responses: { model: MODEL, input: 'Hi', stream: true },
};
type Api = keyof typeof BODIES;

let bed: KeyedBed;
let key: string;
/** A further gateway, and one where abandoned answers end soon. */
let other: string;
let hasty: string;
let release = () => {};
beforeAll(async () => {
  bed = await createKeyedBed();
  key = await bed.makeKey();
  other = await bed.open();
  hasty = await bed.open({ limits: { resumeGraceMs: GRACE_MS } });
});
afterEach(() => release());
afterAll(() => bed.close());

/** Plays an answer whose later half comes when the test lets it. */
function holdAnswers(): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  release = resolve;
  bed.pool.play(async ({ choice }, emit) => {
    const events = answer(choice, TEXTS);
    const half = events.length / 2;
    for (const event of events.slice(0, half)) await emit(event);
    await promise;
    await emit(...events.slice(half));
  });
}

const playWhole = () => bed.pool.play(({ choice }, emit) => emit(...answer(choice, TEXTS)));

const post = (api: Api, headers: object = {}, address = bed.address, signal?: AbortSignal) =>
  fetch(`${address}/v1/${api}`, {
    method: 'POST',
    headers: { ...bearing(key), ...headers },
    body: JSON.stringify(BODIES[api]),
    ...(signal && { signal }),
  });

const attach = (requestId: string, messages: number, address = bed.address) =>
  fetch(`${address}/v1/streams/${requestId}`, {
    headers: { ...bearing(key), 'Last-Event-ID': `${requestId}:${messages}` },
  });

const idOf = (response: Response): string => response.headers.get('x-request-id')!;

/** Messages of a stream as they were sent; not the comments between. */
const messagesOf = (text: string): string[] =>
  text.split(/(?<=\n\n)/).filter((message) => message.endsWith('\n\n') && !message.startsWith(':'));

const readMessages = async (response: Response): Promise<string[]> => {
  expect(response.status).toBe(200);
  return messagesOf(await response.text());
};

/** Starts a stream and hangs up once it has brought some messages. */
async function cutAfter(messages: number, address = bed.address, headers: object = {}) {
  const client = new AbortController();
  const asked = { ...RESUMABLE, ...headers };
  const response = await post('chat/completions', asked, address, client.signal);
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  let text = '';
  while (messagesOf(text).length < messages) text += decoder.decode((await reader.read()).value);
  client.abort();
  await reader.closed.catch(() => {});
  return { requestId: idOf(response), got: messagesOf(text).slice(0, messages) };
}

const isCancelled = async (requestId: string) =>
  (await bed.redis.client.exists(cancelledKey(requestId))) === 1;

const contentOf = (messages: readonly string[]): string =>
  messages
    .map((message) => /^data: (\{.*\})$/m.exec(message)?.[1] ?? '{}')
    .map((data) => JSON.parse(data).choices?.[0]?.delta.content ?? '')
    .join('');

describe('a resumable stream', () => {
  test.each(Object.keys(BODIES) as Api[])('of %s goes on behind any message, at any gateway', async (api) => {
    playWhole();
    const response = await post(api, RESUMABLE);
    const requestId = idOf(response);
    const whole = await readMessages(response);
    expect(whole.length).toBeGreaterThan(TEXTS.length);
    expect(whole.map((message) => /^id: (.*)$/m.exec(message)?.[1])).toEqual(
      whole.map((_, index) => `${requestId}:${index + 1}`),
    );
    for (let has = 0; has < whole.length; has++) {
      const rest = await readMessages(await attach(requestId, has, [bed.address, other][has % 2]));
      expect(rest).toEqual(whole.slice(has));
    }
    const repeated = await post(api, { 'Last-Event-ID': `${requestId}:2` }, other);
    expect(await readMessages(repeated)).toEqual(whole.slice(2));
    expect((await attach(requestId, whole.length)).status).toBe(204);
    const fromStart = await bed.get(`/v1/streams/${requestId}`, bearing(key));
    expect(await readMessages(fromStart)).toEqual(whole);
  });

  test('that is cut goes on elsewhere while it is generated, and nobody cancels it', async () => {
    holdAnswers();
    const { requestId, got } = await cutAfter(2);
    const response = await attach(requestId, got.length, other);
    const releasedAtMs = performance.now();
    release();
    const rest = await readMessages(response);
    expect(performance.now() - releasedAtMs).toBeLessThan(SOON_MS);
    expect(contentOf([...got, ...rest])).toBe(TEXTS.join(''));
    expect(rest.at(-1)).toContain('[DONE]');
    expect(await isCancelled(requestId)).toBe(false);
  });

  test('may have several readers at once', async () => {
    holdAnswers();
    const first = await post('chat/completions', RESUMABLE);
    const requestId = idOf(first);
    const more = await Promise.all([attach(requestId, 0), attach(requestId, 0), attach(requestId, 0, other)]);
    const releasedAtMs = performance.now();
    release();
    const whole = await readMessages(first);
    for (const response of more) expect(await readMessages(response)).toEqual(whole);
    expect(performance.now() - releasedAtMs).toBeLessThan(SOON_MS);
  });

  test('goes on with OpenAI’s client, which knows how many chunks it got', async () => {
    holdAnswers();
    const client = new OpenAI({ baseURL: `${bed.address}/v1`, apiKey: key, maxRetries: 0 });
    const body = { ...CHAT, messages: [{ role: 'user' as const, content: 'Hi' }], stream: true as const };
    let text = '';
    let chunks = 0;
    let requestId = '';
    for await (const chunk of await client.chat.completions.create(body, { headers: RESUMABLE })) {
      text += chunk.choices[0]!.delta.content ?? '';
      requestId = chunk.id.slice('chatcmpl-'.length);
      chunks += 1;
      if (chunks === 2) break;
    }
    release();
    const headers = { 'Last-Event-ID': `${requestId}:${chunks}` };
    for await (const chunk of await client.chat.completions.create(body, { headers })) {
      text += chunk.choices[0]!.delta.content ?? '';
    }
    expect(text).toBe(TEXTS.join(''));
  });

  test('goes on elsewhere when its gateway shuts down', async () => {
    holdAnswers();
    const closing = await startGateway({ redisUrl: bed.redis.url, host: '127.0.0.1', port: 0 });
    const response = await post('chat/completions', RESUMABLE, `http://127.0.0.1:${closing.port}`);
    const [got] = await Promise.all([readMessages(response), closing.close(0)]);
    expect(got.pop()).toContain('shutting_down');
    release();
    const rest = await readMessages(await attach(idOf(response), got.length));
    expect(contentOf([...got, ...rest])).toBe(TEXTS.join(''));
  });

  test('that was still queued when its client went can be read once it runs', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.pool.play(async ({ choice }, emit) => {
      await promise;
      await emit(...answer(choice, TEXTS));
    });
    const client = new AbortController();
    const before = bed.pool.jobs.length;
    const response = post('chat/completions', RESUMABLE, bed.address, client.signal).catch(() => {});
    await vi.waitFor(() => expect(bed.pool.jobs.length).toBe(before + 1));
    client.abort();
    await response;
    const rest = attach(bed.pool.jobs.at(-1)!.requestId, 0, other);
    await sleep(20);
    resolve();
    expect(contentOf(await readMessages(await rest))).toBe(TEXTS.join(''));
  });
});

describe('a stream that is left', () => {
  test('is cancelled when nobody comes back in time, and is gone then', async () => {
    holdAnswers();
    const { requestId } = await cutAfter(2, hasty);
    const leftAtMs = performance.now();
    await vi.waitFor(async () => expect(await isCancelled(requestId)).toBe(true), { timeout: 10 * GRACE_MS });
    expect(performance.now() - leftAtMs).toBeGreaterThan(GRACE_MS - 50);
    const response = await attach(requestId, 2);
    expect([response.status, (await readJson(response)).error.code]).toEqual([404, 'stream_not_found']);
    expect(await bed.redis.client.zscore(resumableLeasesKey, `${requestId} ${MODEL}`)).toBeNull();
  });

  test('is not cancelled while somebody reads it', async () => {
    holdAnswers();
    const { requestId, got } = await cutAfter(2, hasty);
    const response = await attach(requestId, 2, hasty);
    await sleep(3 * GRACE_MS);
    expect(await isCancelled(requestId)).toBe(false);
    release();
    expect(contentOf([...got, ...(await readMessages(response))])).toBe(TEXTS.join(''));
  });

  test('keeps to the time that its client gave it, whoever reads it', async () => {
    holdAnswers();
    const { requestId, got } = await cutAfter(2, bed.address, { 'x-request-timeout': '300ms' });
    const rest = await readMessages(await attach(requestId, got.length, other));
    expect(rest.at(-1)).toContain('deadline_exceeded');
    await vi.waitFor(async () => expect(await isCancelled(requestId)).toBe(true));
  });

  test('tells a later reader of its failure', async () => {
    const error = { status: 500, type: 'server_error', code: 'broken', param: null, message: 'lost' };
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.pool.play(async ({ choice }, emit) => {
      const failed: TokenEvent = { kind: 'failed', choice, error };
      await emit(...answer(choice, TEXTS).slice(0, 2));
      await promise;
      await emit(failed);
    });
    const { requestId } = await cutAfter(2);
    resolve();
    const rest = await readMessages(await attach(requestId, 2, other));
    expect(rest).toEqual([expect.stringMatching(/^data: \{"error":.*"broken"/)]);
  });
});

describe('what cannot go on is told', () => {
  const refusal = async (response: Response) => {
    const { error } = await readJson(response);
    return [response.status, error.code, error.param];
  };
  const notFound = [404, 'stream_not_found', null];
  const badId = [400, null, 'Last-Event-ID'];
  let requestId: string;
  beforeAll(async () => {
    playWhole();
    const response = await post('chat/completions', RESUMABLE);
    requestId = idOf(response);
    await response.text();
  });

  test('to who has another key, or none', async () => {
    const path = `/v1/streams/${requestId}`;
    expect(await refusal(await bed.get(path, bearing(await bed.makeKey())))).toEqual(notFound);
    expect((await bed.get(path)).status).toBe(401);
    expect((await bed.get(path, bearing(key))).status).toBe(200);
  });

  test('to who names a stream that does not exist, is not resumable, or is of another model', async () => {
    expect(await refusal(await attach('0123abc', 1))).toEqual(notFound);
    const ordinary = await post('chat/completions');
    expect(await ordinary.text()).not.toContain('id:');
    expect(await refusal(await attach(idOf(ordinary), 1))).toEqual(notFound);
    const elsewhere = await bed.get(`/models/other/v1/streams/${requestId}`, bearing(key));
    expect(await refusal(elsewhere)).toEqual(notFound);
    expect((await bed.get(`/models/${MODEL}/v1/streams/${requestId}`, bearing(key))).status).toBe(200);
  });

  test.each(['nonsense', 'abc:', ':1', 'abc:-1', `${'a'.repeat(65)}:1`, '0123abc:1'])(
    'to who sends the id %s',
    async (lastEventId) => {
      const headers = { ...bearing(key), 'Last-Event-ID': lastEventId };
      expect(await refusal(await bed.get(`/v1/streams/${requestId}`, headers))).toEqual(badId);
    },
  );

  test('to who claims to have what was never sent, or asks at another address', async () => {
    expect(await refusal(await attach(requestId, 1_000))).toEqual(badId);
    const elsewhere = await post('completions', { 'Last-Event-ID': `${requestId}:1` });
    expect(await refusal(elsewhere)).toEqual(badId);
  });

  test('to who asks for it in other words', async () => {
    expect(await refusal(await post('completions', { 'x-resumable': 'yes' }))).toEqual([
      400,
      null,
      'x-resumable',
    ]);
  });
});

test('no more streams are kept than may be, and an ended one makes room', async () => {
  const address = await bed.open({ limits: { resumableStreams: 2 } });
  await vi.waitFor(async () => expect(await bed.redis.client.zcard(resumableLeasesKey)).toBe(0));
  holdAnswers();
  const open = [
    await post('chat/completions', RESUMABLE, address),
    await post('chat/completions', RESUMABLE, address),
  ];
  const refused = await post('chat/completions', RESUMABLE, address);
  expect([refused.status, (await readJson(refused)).error.code]).toEqual([503, 'overloaded']);
  expect((await post('chat/completions', {}, address)).status).toBe(200);
  release();
  for (const response of open) await response.text();
  await vi.waitFor(async () => expect(await bed.redis.client.zcard(resumableLeasesKey)).toBe(0));
  const next = await post('chat/completions', RESUMABLE, address);
  expect(contentOf(await readMessages(next))).toBe(TEXTS.join(''));
});
