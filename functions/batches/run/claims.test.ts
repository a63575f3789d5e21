import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis, type TestRedis } from '../../../test/support/gateway/redis-server.ts';
import type { BatchRecord } from '../batch.ts';
import { type BatchRecords, createBatchRecords } from '../batches.ts';
import { createFileRecords, type FileRecord, type FileRecords } from '../files.ts';
import { type BatchClaims, type Claim, createBatchClaims, LeaseLostError } from './claims.ts';

const OWNER = 'me';
const LEASE_MS = 60_000;

let redis: TestRedis;
let files: FileRecords;
let batches: BatchRecords;
let claims: BatchClaims;
beforeAll(async () => {
  redis = await startRedis();
  files = createFileRecords(redis.client);
  batches = createBatchRecords(redis.client);
  claims = createBatchClaims(redis.client);
});
beforeEach(() => redis.client.flushall());
afterAll(() => redis.stop());

const input: FileRecord = {
  id: 'file-in',
  owner: OWNER,
  bytes: 10,
  createdAtS: 1,
  filename: 'in.jsonl',
  purpose: 'batch',
};
const output: FileRecord = { ...input, id: 'file-out', filename: 'out.jsonl', purpose: 'batch_output' };
const claimOf = (token: string, batchId = 'batch_a'): Claim => ({ batchId, token });

async function create(id = 'batch_a', mostOpen = 10) {
  await files.add(input, 10);
  return batches.create(
    {
      id,
      owner: OWNER,
      models: null,
      endpoint: '/v1/chat/completions',
      inputFileId: input.id,
      metadata: { a: 'b' },
      createdAtS: 5,
      expiresAtS: 9,
    },
    mostOpen,
  );
}
const find = async (id = 'batch_a'): Promise<BatchRecord> => (await batches.find(OWNER, id))!;

/** A batch that is in progress under the claim `token`. */
async function begin(token: string): Promise<Claim> {
  await create();
  const claim = claimOf(token);
  await claims.take(claim, LEASE_MS);
  await claims.move(claim, 'validating', 'in_progress', { nowS: 6, total: 3 });
  return claim;
}

const ending = { nowS: 8, errors: [], files: { output, error: null } } as const;
const bytes = (before: number, after: number) => ({
  before: { output: before, error: 0 },
  after: { output: after, error: 0 },
});
const line = (number: number) => ({ line: number, kind: 'output' }) as const;

describe('a batch', () => {
  test('needs a file of its owner’s', async () => {
    expect(await create()).toBe('created');
    const record = { ...(await find()), id: 'batch_b' };
    expect(await batches.create({ ...record, owner: 'you' }, 10)).toBe('no file');
    expect(await batches.create({ ...record, inputFileId: 'file-x' }, 10)).toBe('no file');
    await files.add(output, 10);
    expect(await batches.create({ ...record, inputFileId: output.id }, 10)).toBe('no file');
    expect(await batches.find('you', 'batch_a')).toBeUndefined();
  });

  test('is refused beyond the bound, until another one ends', async () => {
    expect(await create('batch_a', 1)).toBe('created');
    expect(await create('batch_b', 1)).toBe('full');
    const claim = claimOf('t');
    await claims.take(claim, LEASE_MS);
    await claims.end(claim, await find(), { ...ending, from: 'validating', to: 'failed' });
    expect(await create('batch_b', 1)).toBe('created');
  });

  test('keeps its input file until it ends', async () => {
    await create();
    expect(await files.remove(input)).toBe('in use');
    const claim = claimOf('t');
    await claims.take(claim, LEASE_MS);
    await claims.end(claim, await find(), { ...ending, from: 'validating', to: 'failed' });
    expect(await files.remove(input)).toBe('removed');
    expect(await files.remove(input)).toBe('unknown');
  });
});

describe('a claim', () => {
  test('is one at a time, oldest batch first', async () => {
    await create('batch_b');
    await create('batch_a');
    expect((await claims.unheld()).map(({ id }) => id)).toEqual(['batch_b', 'batch_a']);
    expect(await claims.take(claimOf('t', 'batch_b'), LEASE_MS)).toMatchObject({ id: 'batch_b' });
    expect(await claims.take(claimOf('u', 'batch_b'), LEASE_MS)).toBeUndefined();
    expect((await claims.unheld()).map(({ id }) => id)).toEqual(['batch_a']);
    await claims.release(claimOf('u', 'batch_b'));
    expect(await claims.renew(claimOf('t', 'batch_b'), LEASE_MS)).toBe('validating');
    await claims.release(claimOf('t', 'batch_b'));
    expect(await claims.take(claimOf('u', 'batch_b'), LEASE_MS)).toBeDefined();
  });

  test('runs out where it is not renewed, and changes nothing then', async () => {
    await create();
    const old = claimOf('old');
    await claims.take(old, 400);
    await sleep(250);
    expect(await claims.renew(old, 400)).toBe('validating');
    await sleep(250);
    expect(await claims.take(claimOf('new'), LEASE_MS)).toBeUndefined();
    await sleep(400);
    expect(await claims.take(claimOf('new'), LEASE_MS)).toBeDefined();
    expect(await claims.renew(old, 400)).toBeUndefined();
    const batch = await find();
    const changes = [
      () => claims.move(old, 'validating', 'in_progress', { nowS: 6 }),
      () => claims.record(old, { ...bytes(0, 4), lines: [line(1)] }),
      () => claims.end(old, batch, { ...ending, from: 'validating', to: 'failed' }),
    ];
    for (const change of changes) await expect(change()).rejects.toThrow(LeaseLostError);
    expect(await find()).toMatchObject({ status: 'validating', outputFileId: null });
  });

  test('of a batch that has ended is not to be had', async () => {
    const claim = await begin('t');
    await claims.move(claim, 'in_progress', 'finalizing', { nowS: 7 });
    await claims.end(claim, await find(), { ...ending, from: 'finalizing', to: 'completed' });
    expect(await claims.unheld()).toEqual([]);
    expect(await claims.take(claimOf('u'), LEASE_MS)).toBeUndefined();
  });
});

describe('a transition', () => {
  test('tells when each status was entered, and may be asked for twice', async () => {
    const claim = await begin('t');
    for (let time = 0; time < 2; time++) {
      expect(await claims.move(claim, 'in_progress', 'finalizing', { nowS: 7 + time })).toBe('finalizing');
    }
    const batch = await find();
    for (let time = 0; time < 2; time++) {
      const end = { ...ending, from: 'finalizing', to: 'completed' } as const;
      expect(await claims.end(claim, batch, end)).toBe('completed');
    }
    expect(await find()).toMatchObject({
      status: 'completed',
      enteredAtS: { in_progress: 6, finalizing: 7, completed: 8 },
      counts: { total: 3 },
      outputFileId: output.id,
      errorFileId: null,
      metadata: { a: 'b' },
    });
    expect(await files.find(OWNER, output.id)).toEqual(output);
    const listed = await files.list(OWNER, { after: undefined, limit: 9, order: 'asc', purpose: undefined });
    expect(listed?.data.map(({ id }) => id)).toEqual([input.id, output.id]);
    expect(await redis.client.ttl('janus:{batches}:batch:batch_a')).toBeGreaterThan(0);
    expect(await redis.client.keys('janus:{batches}:*batch_a')).toEqual(['janus:{batches}:batch:batch_a']);
  });

  test('gives way to a cancellation that came first, but not to one that comes too late', async () => {
    const claim = await begin('t');
    expect(await batches.cancel(await find(), 7)).toBe('cancelling');
    expect(await batches.cancel(await find(), 8)).toBe('cancelling');
    expect(await claims.renew(claim, LEASE_MS)).toBe('cancelling');
    expect(await claims.move(claim, 'in_progress', 'finalizing', { nowS: 7 })).toBe('cancelling');
    const end = { ...ending, from: 'in_progress', to: 'expired' } as const;
    expect(await claims.end(claim, await find(), end)).toBe('cancelling');
    expect(await find()).toMatchObject({ outputFileId: null, enteredAtS: { cancelling: 7 } });
    await claims.end(claim, await find(), { ...ending, from: 'cancelling', to: 'cancelled' });
    expect(await batches.cancel(await find(), 9)).toBe('cancelled');
  });

  test.each(['finalizing', 'completed'] as const)('cannot cancel what is %s', async (status) => {
    const claim = await begin('t');
    await claims.move(claim, 'in_progress', 'finalizing', { nowS: 7 });
    if (status === 'completed') {
      await claims.end(claim, await find(), { ...ending, from: 'finalizing', to: status });
    }
    expect(await batches.cancel(await find(), 8)).toBe(status);
  });
});

describe('a record', () => {
  test('counts results once, also when it is asked for twice', async () => {
    const claim = await begin('t');
    const results = { ...bytes(0, 4), lines: [line(1), { line: 3, kind: 'error' }] } as const;
    await claims.record(claim, results);
    await claims.record(claim, results);
    expect((await find()).counts).toEqual({ total: 3, completed: 1, failed: 1 });
    const done = await claims.doneLines('batch_a');
    expect([1, 2, 3].filter((number) => done.has(number))).toEqual([1, 3]);
    expect(await claims.parts('batch_a')).toEqual({ output: [{ part: 't', bytes: 4 }], error: [] });
  });

  test('of a line that has a result, or behind bytes that Redis does not know, is refused', async () => {
    const claim = await begin('t');
    await claims.record(claim, { ...bytes(0, 4), lines: [line(1)] });
    const twice = claims.record(claim, { ...bytes(4, 8), lines: [line(2), line(1)] });
    await expect(twice).rejects.toThrow(LeaseLostError);
    await expect(claims.record(claim, { ...bytes(6, 8), lines: [line(2)] })).rejects.toThrow(LeaseLostError);
    expect((await find()).counts.completed).toBe(1);
    expect((await claims.doneLines('batch_a')).has(2)).toBe(false);
  });
});

describe('lists', () => {
  test('of files go by pages, in either order, and by purpose', async () => {
    const ids = ['file-c', 'file-a', 'file-d', 'file-b'];
    for (const id of ids) await files.add({ ...input, id }, 10);
    await files.add({ ...output, id: 'file-e' }, 10);
    await files.add({ ...input, id: 'file-x', owner: 'you' }, 10);
    const list = async (order: 'asc' | 'desc', limit: number, after?: string, purpose?: string) => {
      const page = await files.list(OWNER, { after, limit, order, purpose });
      return page === undefined ? undefined : [page.data.map(({ id }) => id), page.hasMore];
    };
    expect(await list('asc', 2)).toEqual([['file-c', 'file-a'], true]);
    expect(await list('asc', 2, 'file-a')).toEqual([['file-d', 'file-b'], true]);
    expect(await list('asc', 2, 'file-b')).toEqual([['file-e'], false]);
    expect(await list('desc', 9, undefined, 'batch')).toEqual([ids.toReversed(), false]);
    expect(await list('desc', 9, 'file-x')).toBeUndefined();
  });

  test('of files take no more than may be', async () => {
    expect(await files.add(input, 1)).toBe(true);
    expect(await files.add({ ...input, id: 'file-b' }, 1)).toBe(false);
    expect(await files.find(OWNER, 'file-b')).toBeUndefined();
  });

  test('go on behind records that have expired', async () => {
    const ids = Array.from({ length: 600 }, (_, index) => `file-${index}`);
    for (const id of ids) await files.add({ ...input, id }, 1_000);
    await redis.client.del(...ids.slice(0, 590).map((id) => `janus:{batches}:file:${id}`));
    const page = await files.list(OWNER, { after: undefined, limit: 3, order: 'asc', purpose: undefined });
    expect(page).toMatchObject({
      data: [{ id: 'file-590' }, { id: 'file-591' }, { id: 'file-592' }],
      hasMore: true,
    });
  });
});
