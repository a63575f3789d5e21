import { mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import {
  type BatchBed,
  chatLines,
  clientOf,
  contentOf,
  createBatchBed,
  FAST_LIMITS,
  jsonl,
} from '../../test/support/gateway/batch-bed.ts';
import { MODEL } from '../../test/support/gateway/bed.ts';
import { startProxy } from '../../test/support/gateway/cuttable-proxy.ts';
import { startPersistentRedis } from '../../test/support/gateway/persistent-redis.ts';
import { answer, type Script, startScriptedPool } from '../../test/support/gateway/scripted-pool.ts';
import { type StartGatewayOptions, startGateway } from '../gateway/node.ts';

const LINES = 30;
const wanted = chatLines(LINES)
  .map((line) => line.custom_id)
  .sort();
const echo: Script = (job, emit) => emit(...answer(job.choice, ['to ', contentOf(job)]));

const open = (redisUrl: string, folder: string, options: Partial<StartGatewayOptions> = {}) =>
  startGateway({
    redisUrl,
    host: '127.0.0.1',
    port: 0,
    registryCacheMs: 0,
    log: { warn() {}, error() {} },
    files: { folder, limits: FAST_LIMITS },
    ...options,
  });

const completedOf = async (client: BatchBed['client'], id: string): Promise<number> =>
  (await client.batches.retrieve(id)).request_counts?.completed ?? 0;

/** Plays a pool that answers some lines, and the others once `release` is called. */
function holdBeyond(bed: BatchBed, answered: number): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  bed.pool.play(async (job, emit) => {
    if (Number(contentOf(job).slice('line-'.length)) > answered) await promise;
    await echo(job, emit);
  });
  return resolve;
}

async function expectOneResultPerLine(bed: Pick<BatchBed, 'results'>, outputId: string | undefined) {
  const results = await bed.results(outputId);
  expect(results.map((result) => result.custom_id).sort()).toEqual(wanted);
  for (const { custom_id: id, response } of results) {
    expect(response?.body.choices[0].message.content).toBe(`to ${id}`);
  }
}

test('a batch whose runner is cut off from Redis is taken over, and what it had asked for is not asked again', async () => {
  const bed = await createBatchBed({ runningBatches: 0 });
  const proxy = await startProxy(bed.redis.port);
  const first = await open(`redis://127.0.0.1:${proxy.port}`, bed.folder);
  const release = holdBeyond(bed, 10);
  const { id } = await bed.submit(chatLines(LINES));
  await vi.waitFor(async () => expect(await completedOf(bed.client, id)).toBe(10), { timeout: 10_000 });
  await vi.waitFor(() => expect(bed.pool.jobs).toHaveLength(14));

  proxy.cut();
  const second = await open(bed.redis.url, bed.folder);
  const lease = `janus:{batches}:lease:${id}`;
  const before = await bed.redis.client.get(lease);
  await vi.waitFor(async () => expect([null, before]).not.toContain(await bed.redis.client.get(lease)), {
    timeout: 5_000,
  });
  // While both believe that the batch is theirs.
  proxy.heal();
  release();
  const batch = await bed.until(id, 'completed');
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  await expectOneResultPerLine(bed, batch.output_file_id);
  expect(bed.pool.jobs).toHaveLength(LINES);
  await Promise.all([first.close(0), second.close(0)]);
  await proxy.close();
  await bed.close();
});

test('a batch whose gateway is closed is taken over at once, with the answers that are under way', async () => {
  const bed = await createBatchBed({ runningBatches: 0 });
  const first = await open(bed.redis.url, bed.folder, {
    files: { folder: bed.folder, limits: { ...FAST_LIMITS, leaseMs: 600_000 } },
  });
  const release = holdBeyond(bed, 10);
  const { id } = await bed.submit(chatLines(LINES));
  await vi.waitFor(() => expect(bed.pool.jobs).toHaveLength(14), { timeout: 10_000 });
  await first.close(0);
  expect((await bed.client.batches.retrieve(id)).status).toBe('in_progress');
  const second = await open(bed.redis.url, bed.folder);
  release();
  const batch = await bed.until(id, 'completed');
  await expectOneResultPerLine(bed, batch.output_file_id);
  expect(bed.pool.jobs).toHaveLength(LINES);
  await second.close(0);
  await bed.close();
});

test('several gateways share the batches, and only those that have its file run a batch', async () => {
  const bed = await createBatchBed({ runningBatches: 0 });
  const elsewhere = await mkdtemp(join(tmpdir(), 'janus-elsewhere-'));
  const stranger = await open(bed.redis.url, elsewhere);
  bed.pool.play(echo);
  const ids: string[] = [];
  for (let count = 0; count < 6; count++) ids.push((await bed.submit(chatLines(LINES))).id);
  await sleep(200);
  expect((await bed.client.batches.retrieve(ids[0]!)).status).toBe('validating');
  const others = [await open(bed.redis.url, bed.folder), await open(bed.redis.url, bed.folder)];
  for (const id of ids) {
    const batch = await bed.until(id, 'completed');
    await expectOneResultPerLine(bed, batch.output_file_id);
  }
  expect(bed.pool.jobs).toHaveLength(6 * LINES);
  for (const gateway of [stranger, ...others]) await gateway.close(0);
  await rm(elsewhere, { recursive: true });
  await bed.close();
});

test('a batch that nobody ran until it expired tells so of each line; one whose file is lost fails', async () => {
  const bed = await createBatchBed({ runningBatches: 0 });
  const kept = await bed.submit(chatLines(LINES));
  const lost = await bed.submit(chatLines(LINES));
  await unlink(join(bed.folder, lost.input_file_id));
  const late = { nowMs: () => Date.now() + 25 * 60 * 60 * 1_000 };
  const gateway = await open(bed.redis.url, bed.folder, { clock: late });
  const expired = await bed.until(kept.id, 'expired');
  expect(expired).toMatchObject({ output_file_id: null, request_counts: { total: LINES, failed: LINES } });
  const errors = await bed.results(expired.error_file_id);
  expect(errors.map((result) => result.custom_id).sort()).toEqual(wanted);
  const failed = await bed.until(lost.id, 'failed');
  expect(failed.errors?.data).toMatchObject([{ code: 'input_file_missing', line: null }]);
  expect(bed.pool.jobs).toEqual([]);
  await gateway.close(0);
  await bed.close();
});

test('a Redis that is killed and comes back with what it kept costs no line its one result', async () => {
  const redis = await startPersistentRedis();
  const folder = await mkdtemp(join(tmpdir(), 'janus-files-'));
  const pool = await startScriptedPool(redis.url, MODEL);
  pool.play(async (job, emit) => {
    await sleep(20);
    await echo(job, emit);
  });
  const gateway = await open(redis.url, folder);
  const client = clientOf(`http://127.0.0.1:${gateway.port}`);
  const file = await client.files.create({
    file: new File([jsonl(chatLines(LINES))], 'in.jsonl'),
    purpose: 'batch',
  });
  const request = {
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  } as const;
  const { id } = await client.batches.create(request);
  for (const least of [5, 15]) {
    await vi.waitFor(async () => expect(await completedOf(client, id)).toBeGreaterThan(least), {
      timeout: 20_000,
      interval: 5,
    });
    await redis.kill();
    await sleep(300);
    await redis.start();
  }
  const batch = await vi.waitFor(
    async () => {
      const found = await client.batches.retrieve(id);
      expect(found.status).toBe('completed');
      return found;
    },
    { timeout: 40_000 },
  );
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  const text = await (await client.files.content(batch.output_file_id!)).text();
  const ids = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).custom_id);
  expect(ids.sort()).toEqual(wanted);
  await gateway.close(0);
  await pool.close();
  await redis.stop();
  await rm(folder, { recursive: true });
});
