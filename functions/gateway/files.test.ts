import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import OpenAI, { toFile, toStreamingFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type BatchBed, chatLine, createBatchBed, jsonl } from '../../test/support/gateway/batch-bed.ts';
import { createGatewayBed, readJson } from '../../test/support/gateway/bed.ts';
import { createKey } from './access/key-store.ts';
import { secureBytes } from './access/key-text.ts';

let bed: BatchBed;
/** Names in the gateway's folder, which keeps the files of earlier tests. */
let before: string[];
beforeAll(async () => {
  bed = await createBatchBed({ fileBytes: 4 * 1024 * 1024, fileLines: 10, files: 4, uploads: 1 });
});
beforeEach(async () => {
  await bed.redis.client.flushall();
  before = await stored();
});
afterAll(() => bed.close());

const stored = async (): Promise<string[]> => (await readdir(bed.folder).catch(() => [])).sort();
const LINE = jsonl([chatLine('a')]);
const upload = async (content: string | Buffer = LINE, name = 'in.jsonl') =>
  bed.client.files.create({ file: await toFile(Buffer.from(content), name), purpose: 'batch' });

test('a file is uploaded, found, read and deleted', async () => {
  const file = await upload(LINE, 'größe "1".jsonl');
  expect(file).toMatchObject({
    id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
    object: 'file',
    bytes: Buffer.byteLength(LINE),
    filename: 'größe "1".jsonl',
    purpose: 'batch',
    status: 'processed',
  });
  expect(await bed.client.files.retrieve(file.id)).toEqual(file);
  expect(await (await bed.client.files.content(file.id)).text()).toBe(LINE);
  expect(await bed.client.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true });
  await expect(bed.client.files.retrieve(file.id)).rejects.toThrow(OpenAI.NotFoundError);
  await expect(bed.client.files.content(file.id)).rejects.toThrow(OpenAI.NotFoundError);
  await expect(bed.client.files.delete(file.id)).rejects.toThrow(OpenAI.NotFoundError);
  expect(await stored()).toEqual(before);
});

test('a file of unknown length is taken in as it comes', async () => {
  const line = `${JSON.stringify(chatLine('a', 'x'.repeat(300_000)))}\n`;
  async function* chunks() {
    for (let count = 0; count < 10; count++) yield Buffer.from(line);
  }
  const file = await bed.client.files.create({
    file: toStreamingFile(chunks(), 'in.jsonl'),
    purpose: 'batch',
  });
  expect(file.bytes).toBe(line.length * 10);
  expect(await (await bed.client.files.content(file.id)).text()).toBe(line.repeat(10));
  await bed.client.files.delete(file.id);
});

test('files are listed by pages', async () => {
  const files = [await upload(), await upload(), await upload()];
  const newest = files.map(({ id }) => id).toReversed();
  const page = await bed.client.files.list({ limit: 2 });
  expect(page.data.map(({ id }) => id)).toEqual(newest.slice(0, 2));
  const all: string[] = [];
  for await (const { id } of bed.client.files.list({ limit: 2, order: 'asc' })) all.push(id);
  expect(all).toEqual(newest.toReversed());
  expect((await bed.client.files.list({ purpose: 'batch_output' })).data).toEqual([]);
  for (const [query, param] of [
    ['limit=0', 'limit'],
    ['limit=x', 'limit'],
    ['order=up', 'order'],
    ['after=file-x', 'after'],
    ['purpose=vision', 'purpose'],
  ] as const) {
    const response = await fetch(`${bed.address}/v1/files?${query}`);
    expect([response.status, (await readJson(response)).error.param], query).toEqual([400, param]);
  }
});

describe('an upload is refused, and nothing of it stays', () => {
  test('with too many lines, naming the first of them', async () => {
    await expect(upload(LINE.repeat(11))).rejects.toThrow('line 11 is one too many');
    expect(await stored()).toEqual(before);
  });

  test('that is too large, after the client has sent it', async () => {
    const huge = Buffer.alloc(5 * 1024 * 1024, 'x\n');
    await expect(upload(huge)).rejects.toMatchObject({ status: 400 });
    const long = Buffer.alloc(5 * 1024 * 1024, `${'x'.repeat(900_000)}\n`);
    await expect(upload(long)).rejects.toMatchObject({ status: 413, param: 'file' });
    expect(await stored()).toEqual(before);
  });

  test('for another purpose, or none', async () => {
    const file = await toFile(Buffer.from(LINE), 'a.jsonl');
    const wrong = bed.client.files.create({ file, purpose: 'vision' });
    await expect(wrong).rejects.toMatchObject({ status: 400, param: 'purpose' });
    expect(await stored()).toEqual(before);
    const response = await bed.post('/v1/files', { purpose: 'batch' });
    expect((await readJson(response)).error.code).toBe('invalid_multipart');
  });

  test('beyond the number of files that may be kept', async () => {
    for (let count = 0; count < 4; count++) await upload();
    await expect(upload()).rejects.toMatchObject({ status: 400, code: 'too_many_files' });
  });

  test('whose client hangs up, after which there is room again', async () => {
    const socket = connect(Number(new URL(bed.address).port), '127.0.0.1');
    const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\n';
    socket.write(
      `POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n\r\n${head}`,
    );
    await vi.waitFor(async () => expect(await stored()).toHaveLength(before.length + 1));
    await expect(upload()).rejects.toMatchObject({ status: 503, code: 'overloaded' });
    socket.destroy();
    await vi.waitFor(async () => expect(await stored()).toEqual(before));
    await vi.waitFor(() => upload());
  });
});

test('files and batches belong to the key that sent them', async () => {
  const keyed = await createBatchBed();
  const settings = { class: 'api', models: null, requestsPerMinute: null, tokensPerMinute: null } as const;
  const clientOf = async (name: string) => {
    const random = { nowMs: 1, randomBytes: secureBytes };
    const { text } = await createKey(keyed.redis.client, { ...settings, name }, random);
    return new OpenAI({ baseURL: `${keyed.address}/v1`, apiKey: text, maxRetries: 0 });
  };
  const [mine, yours] = [await clientOf('mine'), await clientOf('yours')];
  const file = await mine.files.create({
    file: await toFile(Buffer.from(LINE), 'a.jsonl'),
    purpose: 'batch',
  });
  await expect(yours.files.retrieve(file.id)).rejects.toThrow(OpenAI.NotFoundError);
  await expect(yours.files.delete(file.id)).rejects.toThrow(OpenAI.NotFoundError);
  expect((await yours.files.list()).data).toEqual([]);
  const batch = {
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  } as const;
  await expect(yours.batches.create(batch)).rejects.toMatchObject({ status: 400, param: 'input_file_id' });
  const { id } = await mine.batches.create(batch);
  await expect(yours.batches.retrieve(id)).rejects.toThrow(OpenAI.NotFoundError);
  await expect(yours.batches.cancel(id)).rejects.toThrow(OpenAI.NotFoundError);
  expect((await yours.batches.list()).data).toEqual([]);
  const ended = await vi.waitFor(async () => {
    const found = await mine.batches.retrieve(id);
    expect(found.status).toBe('completed');
    return found;
  });
  expect((await mine.files.retrieve(ended.output_file_id!)).purpose).toBe('batch_output');
  await expect(yours.files.content(ended.output_file_id!)).rejects.toThrow(OpenAI.NotFoundError);
  await keyed.close();
});

test('a batch may use the models of its key only', async () => {
  const keyed = await createBatchBed();
  const settings = {
    class: 'api',
    models: ['other'],
    requestsPerMinute: null,
    tokensPerMinute: null,
  } as const;
  const random = { nowMs: 1, randomBytes: secureBytes };
  const { text } = await createKey(keyed.redis.client, { ...settings, name: 'narrow' }, random);
  const client = new OpenAI({ baseURL: `${keyed.address}/v1`, apiKey: text, maxRetries: 0 });
  const file = await client.files.create({
    file: await toFile(Buffer.from(LINE), 'a.jsonl'),
    purpose: 'batch',
  });
  const batch = {
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  } as const;
  const { id } = await client.batches.create(batch);
  await vi.waitFor(async () => {
    const { status, errors } = await client.batches.retrieve(id);
    expect([status, errors?.data?.[0]?.code]).toEqual(['failed', 'model_not_found']);
  });
  await keyed.close();
});

test('a gateway that keeps no files says so', async () => {
  const plain = await createGatewayBed();
  for (const path of ['/v1/files', '/v1/files/file-x/content', '/v1/batches', '/v1/batches/batch_x']) {
    const response = await fetch(plain.address + path);
    expect(response.status).toBe(501);
    expect((await readJson(response)).error.message).toContain('--files-dir');
  }
  await plain.close();
});
