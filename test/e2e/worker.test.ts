import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Job, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import { makeKey } from '../support/gateway/keyed-bed.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';
import { type RunningWorker, startWorker } from '../support/worker.ts';

/** What the platform takes, compressed, from an account that pays nothing. */
const MOST_BYTES = 3 * 2 ** 20;
const MOST_GZIP_BYTES = 2 ** 20;
const STREAMS = 20;
const ORIGIN = 'https://chat.example';

const local = useRedis();
let host: Host;
let gateway: RunningGateway;
let worker: RunningWorker;
let redis: Redis;
let queue: Queue<SequenceJob, SequenceOutcome>;
let key: string;
let beforeAnyKey: Response;
/** Of the Worker, and of a gateway on Node with the same pools. */
let client: OpenAI;
let nodeClient: OpenAI;

const clientOf = (address: string, apiKey: string) =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey, maxRetries: 0 });

beforeAll(async () => {
  redis = new Redis(local.url);
  queue = new Queue(requestQueueName(DICTIONARY_MODEL), { prefix: QUEUE_PREFIX, connection: redis });
  [host, gateway, worker] = await Promise.all([
    startTestHost(local.url),
    startGateway({ redisUrl: local.url, host: '127.0.0.1', port: 0 }),
    startWorker({ redisUrl: local.url, vars: { LOG_LEVEL: 'info', CORS_ORIGINS: ORIGIN } }),
  ]);
  beforeAnyKey = await fetch(`${worker.url}/v1/models`);
  key = await makeKey(redis);
  client = clientOf(worker.url, key);
  nodeClient = clientOf(`http://127.0.0.1:${gateway.port}`, key);
});
afterAll(async () => {
  await worker.close();
  await gateway.close();
  await host.close();
  await queue.close();
  redis.disconnect();
});

const asking = (word: string) => ({
  model: DICTIONARY_MODEL,
  messages: [{ role: 'user' as const, content: `Define "${word}".` }],
  temperature: 0,
});

/** An answer that only its length ends: eight sequences at once, so that it lasts. */
const ENDLESS = { model: DICTIONARY_MODEL, prompt: 'harbor', n: 8, max_tokens: 500, ignore_eos: true };

async function streamed(from: OpenAI, word: string): Promise<string> {
  let text = '';
  for await (const chunk of await from.chat.completions.create({ ...asking(word), stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
}

async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await sleep(10)) {
    if (await condition()) return;
  }
  throw new Error(`Not within 5 s: ${what}`);
}

async function outcomeOf(requestId: string): Promise<SequenceOutcome> {
  const id = `${requestId}-0`;
  await until('the job has ended', async () => (await queue.getJobState(id)) === 'completed');
  return (await Job.fromId<SequenceJob, SequenceOutcome>(queue, id))!.returnvalue;
}

const connections = async (): Promise<number> =>
  ((await redis.client('LIST')) as string).trim().split('\n').length;

it('the bundle is small enough to be deployed', () => {
  expect(worker.bundle.bytes).toBeLessThan(MOST_BYTES);
  expect(worker.bundle.gzipBytes).toBeLessThan(MOST_GZIP_BYTES);
});

it('answers nobody before there is an API key', async () => {
  expect(beforeAnyKey.status).toBe(503);
  expect(await beforeAnyKey.json()).toMatchObject({
    error: { code: 'no_api_key', message: expect.stringContaining('janus keys create') },
  });
});

it('lists the models', async () => {
  const models = await client.models.list();
  expect(models.data.map(({ id }) => id)).toEqual([DICTIONARY_MODEL]);
  expect((await client.models.retrieve(DICTIONARY_MODEL)).id).toBe(DICTIONARY_MODEL);
});

it('gives the text that a gateway on Node gives, whole and streamed', async () => {
  const onNode = await nodeClient.chat.completions.create(asking('harbor'));
  const here = await client.chat.completions.create(asking('harbor'));
  expect(here.choices[0]!.message.content).toMatch(/\w{3}/);
  expect(here.choices).toEqual(onNode.choices);
  expect(here.usage?.completion_tokens).toBe(onNode.usage?.completion_tokens);
  expect(await streamed(client, 'harbor')).toBe(onNode.choices[0]!.message.content);
});

it('gives several choices, the same as on Node for the same seed', async () => {
  const request = { ...asking('tournament'), n: 2, temperature: 1, seed: 7 };
  const [here, onNode] = await Promise.all([
    client.chat.completions.create(request),
    nodeClient.chat.completions.create(request),
  ]);
  expect(here.choices).toHaveLength(2);
  expect(here.choices).toEqual(onNode.choices);
});

it('describes its routes, and turns texts into tokens, as on Node', async () => {
  const answers = (address: string) =>
    Promise.all([
      fetch(`${address}/openapi.json`).then((response) => response.json()),
      fetch(`${address}/tokenize`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: DICTIONARY_MODEL, prompt: 'harbor' }),
      }).then((response) => response.json()),
    ]);
  const [document, tokens] = await answers(worker.url);
  expect(document).toMatchObject({ openapi: expect.stringMatching(/^3\.1/) });
  expect(tokens).toMatchObject({ count: expect.any(Number) });
  expect(await answers(`http://127.0.0.1:${gateway.port}`)).toEqual([document, tokens]);
});

it('refuses what is wrong, as on Node', async () => {
  const { chat, embeddings } = client;
  await expect(chat.completions.create({ ...asking('x'), model: 'other' })).rejects.toMatchObject({
    status: 404,
    code: 'model_not_found',
  });
  await expect(chat.completions.create({ ...asking('x'), temperature: 9 })).rejects.toMatchObject({
    status: 400,
    param: 'temperature',
  });
  await expect(embeddings.create({ model: DICTIONARY_MODEL, input: 'x' })).rejects.toMatchObject({
    code: 'unsupported_endpoint',
  });
  await expect(clientOf(worker.url, 'sk-janus-wrong').models.list()).rejects.toBeInstanceOf(
    OpenAI.AuthenticationError,
  );
});

it('lets pages of the origins that are set read answers', async () => {
  const response = await fetch(`${worker.url}/v1/models`, {
    headers: { Authorization: `Bearer ${key}`, Origin: ORIGIN },
  });
  expect(response.headers.get('access-control-allow-origin')).toBe(ORIGIN);
  await response.text();
});

it('a client that leaves in the middle of a stream ends its sequences', async () => {
  const { data: stream, response } = await client.completions
    .create({ ...ENDLESS, stream: true })
    .withResponse();
  for await (const _ of stream) break;
  expect(await outcomeOf(response.headers.get('x-request-id')!)).toMatchObject({ state: 'cancelled' });
  expect(host.attention!.instances[0]!.statistics.slotsInUse).toBe(0);
});

it('a client that leaves before a whole answer comes ends its sequences', async () => {
  const body = JSON.stringify(ENDLESS);
  const head = ['POST /v1/completions HTTP/1.1', 'Host: worker', `Authorization: Bearer ${key}`];
  const socket = connect(Number(new URL(worker.url).port), '127.0.0.1');
  socket.write([...head, `Content-Length: ${body.length}`, '', body].join('\r\n'));
  let id: string | undefined;
  await until('it is generated', async () => {
    id = (await queue.getActive())[0]?.data.requestId;
    return id !== undefined;
  });
  // Here a connection that is only closed may still take an answer; Cloudflare's own servers tell of every client that goes.
  socket.resetAndDestroy();
  expect(await outcomeOf(id!)).toMatchObject({ state: 'cancelled' });
});

it(`gives ${STREAMS} streams at once, and keeps no connection of theirs`, async () => {
  const before = await connections();
  const texts = await Promise.all(Array.from({ length: STREAMS }, () => streamed(client, 'fifty')));
  expect(new Set(texts).size).toBe(1);
  expect(texts[0]).toMatch(/\w{3}/);
  await until('its connections are closed', async () => (await connections()) <= before);
});

it('goes on with a stream that was cut at a gateway on Node, as that does with one of its own', async () => {
  const whole = await streamed(client, 'harbor');
  const request = { ...asking('harbor'), stream: true } as const;
  const pairs = [
    [client, nodeClient],
    [nodeClient, client],
  ] as const;
  for (const [from, to] of pairs) {
    let text = '';
    let requestId = '';
    let chunks = 0;
    const resumable = { headers: { 'x-resumable': 'true' } };
    for await (const chunk of await from.chat.completions.create(request, resumable)) {
      text += chunk.choices[0]?.delta.content ?? '';
      requestId = chunk.id.slice('chatcmpl-'.length);
      chunks += 1;
      if (chunks === 3) break;
    }
    const headers = { 'Last-Event-ID': `${requestId}:${chunks}` };
    for await (const chunk of await to.chat.completions.create(request, { headers })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe(whole);
  }
});

it('keeps files, and runs batches when its cron trigger fires', async () => {
  const line = { custom_id: 'one', method: 'POST', url: '/v1/chat/completions', body: asking('fifty') };
  const file = await client.files.create({
    file: await toFile(Buffer.from(`${JSON.stringify(line)}\n`), 'in.jsonl'),
    purpose: 'batch',
  });
  const { id } = await client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  });
  await worker.scheduled();
  const batch = await client.batches.retrieve(id);
  expect(batch.status).toBe('completed');
  const output = await client.files.content(batch.output_file_id!);
  const { response } = JSON.parse(await output.text());
  expect(response.body.choices[0].message.content).toBe(await streamed(client, 'fifty'));
});

it('tells metrics to who may know them, and logs requests without keys and prompts', async () => {
  await client.chat.completions.create(asking('harbor'));
  const admin = await makeKey(redis, { class: 'admin' });
  const response = await fetch(`${worker.url}/metrics`, { headers: { Authorization: `Bearer ${admin}` } });
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(text).toMatch(/^janus:request_success_total\{.*finished_reason="stop".*\} [1-9]/m);
  expect(text).toContain('janus:pool_read_success 1');

  await until('the log tells of it', () => worker.lines.some((line) => line.includes('"/metrics"')));
  const entries = worker.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(entries).toContainEqual(
    expect.objectContaining({ level: 'info', path: '/v1/chat/completions', status: 200 }),
  );
  expect(entries.filter(({ level }) => level === 'error')).toEqual([]);
  const whole = worker.lines.join('\n');
  for (const secret of [key, admin, 'harbor']) expect(whole).not.toContain(secret);
});
