import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';

const TOKENS = 120;
/** So many that most of them are not there when the first are read. */
const SOME_TOKENS = 240;
/** So many that they are not all there when nobody came back in time. */
const MANY_TOKENS = 450;
const GRACE_MS = 100;

const local = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let host: Host;
let redis: Redis;
let patient: RunningGateway;
let hasty: RunningGateway;
beforeAll(async () => {
  host = await startTestHost(local.url);
  redis = new Redis(local.url);
  const place = { redisUrl: local.url, host: '127.0.0.1', port: 0 };
  patient = await startGateway(place);
  hasty = await startGateway({ ...place, limits: { resumeGraceMs: GRACE_MS } });
});
afterAll(async () => {
  await Promise.all([patient.close(), hasty.close()]);
  await host.close();
  redis.disconnect();
});

const ask = (
  { port }: Pick<RunningGateway, 'port'>,
  tokens: number,
  headers: object = {},
  signal?: AbortSignal,
) =>
  fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { ...headers },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      prompt: 'harbor',
      max_tokens: tokens,
      temperature: 0,
      ignore_eos: true,
      stream: true,
    }),
    ...(signal && { signal }),
  });

/** Texts of a stream, one per message, and the id that the last of them has. */
function read(text: string) {
  const messages = text.split('\n\n').filter((message) => /^data: \{/m.test(message));
  const texts = messages.map((message) => JSON.parse(/^data: (.*)$/m.exec(message)![1]!).choices[0].text);
  return { text: texts.join(''), id: /^id: (.*)$/m.exec(messages.at(-1) ?? '')?.[1] };
}

/** Starts a stream, and hangs up after its first messages. */
async function cut(gateway: RunningGateway, tokens: number) {
  const client = new AbortController();
  const response = await ask(gateway, tokens, { 'x-resumable': 'true' }, client.signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (text.split('\n\n').length < 10) text += (await reader.read()).value;
  client.abort();
  await reader.closed.catch(() => {});
  return {
    requestId: response.headers.get('x-request-id')!,
    ...read(text.slice(0, text.lastIndexOf('\n\n'))),
  };
}

async function eventsOf(requestId: string): Promise<TokenEvent[]> {
  const entries = await redis.xrange(tokenStreamKey(requestId), '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf(TOKEN_STREAM_FIELD) + 1]!));
}

it('a stream that was cut and gone on with at another gateway is the text of one that was not', async () => {
  const whole = read(await (await ask(patient, TOKENS)).text());
  expect(whole.id).toBeUndefined();
  const { requestId, text, id } = await cut(patient, TOKENS);
  const rest = await fetch(`http://127.0.0.1:${hasty.port}/v1/streams/${requestId}`, {
    headers: { 'Last-Event-ID': id! },
  });
  expect(text.length).toBeGreaterThan(0);
  expect(text + read(await rest.text()).text).toBe(whole.text);
  expect((await eventsOf(requestId)).at(-1)).toMatchObject({ kind: 'finished', completionTokens: TOKENS });
});

it('a gateway that dies costs its clients their connections, and nothing else', async () => {
  const files = mkdtempSync(join(tmpdir(), 'janus-files-'));
  onTestFinished(() => rmSync(files, { recursive: true }));
  const dying = janus(['gateway', '--port', '0', '--files-dir', files, '--redis', local.url]);
  const started = dying.waitFor(/^ready: http:.*:(\d+)\/v1/m);
  const alone = read(await (await ask(patient, SOME_TOKENS)).text());
  const [, port] = await started;
  const others = ask(patient, SOME_TOKENS).then((response) => response.text());
  const response = await ask({ port: Number(port) }, SOME_TOKENS, { 'x-resumable': 'true' });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const readOn = async (): Promise<void> => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (text.split('\n\n').length > 10) dying.kill('SIGKILL');
    }
  };
  await expect(readOn()).rejects.toThrow();
  const begun = read(text.slice(0, text.lastIndexOf('\n\n')));
  const path = `/v1/streams/${response.headers.get('x-request-id')}`;
  const rest = await fetch(`http://127.0.0.1:${patient.port}${path}`, {
    headers: { 'Last-Event-ID': begun.id! },
  });
  expect(begun.text.length).toBeLessThan(alone.text.length);
  expect(begun.text + read(await rest.text()).text).toBe(alone.text);
  expect(read(await others).text).toBe(alone.text);
});

it('a stream that nobody comes back to goes on for a while, and is cancelled then', async () => {
  const { requestId } = await cut(hasty, MANY_TOKENS);
  const instance = host.attention!.instances[0]!;
  const atCut = await eventsOf(requestId);
  await vi.waitFor(async () => expect((await eventsOf(requestId)).at(-1)!.kind).toBe('finished'), 5_000);
  const events = await eventsOf(requestId);
  expect(events.at(-1)).toMatchObject({ reason: 'cancelled' });
  expect(events.length).toBeGreaterThan(atCut.length + 1);
  await vi.waitFor(() => expect(instance.statistics.slotsInUse).toBe(0));
});
