import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MODEL, readJson } from '../../../test/support/gateway/bed.ts';
import { bearing, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { SCHEMAS, type SchemaName } from './schemas.ts';

let bed: KeyedBed;
let folder: string;
let headers: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'janus-openapi-'));
  bed = await createKeyedBed({ files: { folder } });
  headers = bearing(await bed.makeKey());
});
afterAll(async () => {
  await bed.close();
  await rm(folder, { recursive: true });
});

const send = (path: string, body?: object | FormData, method = body === undefined ? 'GET' : 'POST') =>
  fetch(bed.address + path, {
    method,
    headers,
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });

/** The body of an answer, which must be what the document says, and no more. */
async function expectDocumented(name: SchemaName, response: Response) {
  const body = await readJson(response);
  expect(SCHEMAS[name].parse(body)).toEqual(body);
  return body;
}

describe('without a key', () => {
  test('the document is given', async () => {
    const response = await bed.get('/openapi.json');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(await readJson(response)).toMatchObject({ openapi: '3.1.0', info: { title: 'Janus' } });
  });

  test('the page is given, with a policy that lets it have its own style alone', async () => {
    const response = await bed.get('/docs');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/html');
    const text = await response.text();
    const [, style = ''] = /<style>(.*?)<\/style>/s.exec(text) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    expect(response.headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
  });

  test.each(['/tokenize', '/detokenize', `/models/${MODEL}/tokenize`, '/v1/tokenize'])(
    '%s is refused',
    async (path) => {
      expect((await bed.post(path, { model: MODEL, prompt: 'Hi', tokens: [1] })).status).toBe(401);
    },
  );
});

describe('answers are what the document says', () => {
  test('of models and of the service', async () => {
    await expectDocumented('ModelList', await send('/v1/models'));
    await expectDocumented('Model', await send(`/v1/models/${MODEL}`));
    await expectDocumented('Health', await send('/health'));
    await expectDocumented('Readiness', await send('/ready'));
    await expectDocumented('Error', await send('/v1/models/none'));
    await expectDocumented('Error', await send('/v1/embeddings', {}));
  });

  test('of files and batches', async () => {
    const form = new FormData();
    const body = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
    const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body };
    form.append('purpose', 'batch');
    form.append('file', new Blob([`${JSON.stringify(line)}\n`]), 'in.jsonl');
    const file = await expectDocumented('File', await send('/v1/files', form));
    await expectDocumented('FilePage', await send('/v1/files?limit=1'));
    const wanted = { input_file_id: file.id, endpoint: line.url, completion_window: '24h' };
    const batch = await expectDocumented('Batch', await send('/v1/batches', wanted));
    await expectDocumented('BatchPage', await send('/v1/batches'));
    await expect
      .poll(async () => (await expectDocumented('Batch', await send(`/v1/batches/${batch.id}`))).status, {
        timeout: 10_000,
        interval: 20,
      })
      .toBe('completed');
    await expectDocumented('DeletedFile', await send(`/v1/files/${file.id}`, undefined, 'DELETE'));
  });

  test('of generations', async () => {
    const messages = [{ role: 'user', content: 'Hi' }];
    const { ChatCompletion, Completion, Response: Answer } = SCHEMAS;
    const chat = { model: MODEL, messages, logprobs: true };
    ChatCompletion.parse(await readJson(await send('/v1/chat/completions', chat)));
    Completion.parse(await readJson(await send('/v1/completions', { model: MODEL, prompt: 'Hi' })));
    Answer.parse(await readJson(await send('/v1/responses', { model: MODEL, input: 'Hi' })));
  });
});

describe('a tokenizer of which no host answers', () => {
  test('is waited for as long as a queue, and no longer', async () => {
    const address = await bed.open({ limits: { queueWaitMs: 150 } });
    const startedMs = performance.now();
    const response = await fetch(`${address}/tokenize`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ model: MODEL, prompt: 'Hi' }),
    });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await readJson(response)).error.code).toBe('queue_timeout');
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    const left = await bed.redis.client.keys('janus:*tokenization:*');
    expect(left).toEqual([]);
  });
});
