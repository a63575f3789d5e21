import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { chatLines, contentOf, FAST_LIMITS, jsonl } from '../../test/support/gateway/batch-bed.ts';
import { MODEL } from '../../test/support/gateway/bed.ts';
import { startBucket, type TestBucket } from '../../test/support/gateway/bucket.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { answer, type ScriptedPool, startScriptedPool } from '../../test/support/gateway/scripted-pool.ts';
import { createDispatcher } from '../dispatcher/dispatcher.ts';
import { createRegistry } from '../dispatcher/registry.ts';
import { createAccess } from '../gateway/access/access.ts';
import { createGateway } from '../gateway/gateway.ts';
import { randomIds } from '../gateway/ids.ts';
import { DEFAULT_GATEWAY_LIMITS } from '../gateway/limits.ts';
import { PARTS_GRACE_MS } from './limits.ts';
import { type BatchSliceDependencies, createWorkerBatches, runBatchSlice } from './worker-batches.ts';

const LINES = 120;
const ANSWER_MS = 50;
const LINES_IN_FLIGHT = 16;
/** Too short for all lines. */
const SLICE_MS = 300;
const MOST_SLICES = 40;
const ENDPOINT = '/v1/chat/completions';

let redis: TestRedis;
let pool: ScriptedPool;
let store: TestBucket;
let client: OpenAI;
let dependencies: BatchSliceDependencies;
const errors: unknown[] = [];
let laterMs = 0;

beforeAll(async () => {
  redis = await startRedis();
  pool = await startScriptedPool(redis.url, MODEL);
  pool.play(async (job, emit) => {
    await sleep(ANSWER_MS);
    await emit(...answer(job.choice, ['to ', contentOf(job)]));
  });
  store = await startBucket();
  dependencies = {
    bucket: store.bucket,
    redis: redis.client,
    ids: randomIds,
    clock: { nowMs: () => Date.now() + laterMs },
    gatewayLimits: DEFAULT_GATEWAY_LIMITS,
    limits: { ...FAST_LIMITS, linesInFlight: LINES_IN_FLIGHT },
    report: (error) => void errors.push(error),
  };
  const { clock, ids, report } = dependencies;
  const app = createGateway({
    clock,
    ids,
    report,
    limits: DEFAULT_GATEWAY_LIMITS,
    dispatcher: createDispatcher(redis.client),
    registry: createRegistry(redis.client),
    access: createAccess(redis.client, { anonymous: true }),
    batches: createWorkerBatches(dependencies),
  });
  client = new OpenAI({
    baseURL: 'http://worker/v1',
    apiKey: 'unused',
    maxRetries: 0,
    fetch: async (address, init) => app.fetch(new Request(address, init)),
  });
});
afterAll(async () => {
  await pool.close();
  await store.close();
  await redis.stop();
});

async function submit(lines: number): Promise<OpenAI.Batch> {
  const file = new File([jsonl(chatLines(lines))], 'in.jsonl');
  const { id } = await client.files.create({ file, purpose: 'batch' });
  return client.batches.create({ input_file_id: id, endpoint: ENDPOINT, completion_window: '24h' });
}

/** Triggers slices, two at a time, until a batch has ended. @returns how often */
async function runToEnd(id: string): Promise<number> {
  for (let count = 1; count <= MOST_SLICES; count++) {
    await Promise.all([runBatchSlice(dependencies, SLICE_MS), runBatchSlice(dependencies, SLICE_MS)]);
    if ((await client.batches.retrieve(id)).status === 'completed') return count;
  }
  throw new Error(`The batch was not completed in ${MOST_SLICES} slices`);
}

const connections = async (): Promise<number> =>
  String(await redis.client.client('LIST'))
    .trim()
    .split('\n').length;

test('slices go on with a batch where the ones before gave it up, and answer each line once', async () => {
  const { id, status } = await submit(LINES);
  expect(status).toBe('validating');
  const before = await connections();
  expect(await runToEnd(id)).toBeGreaterThan(1);
  await vi.waitFor(async () => expect(await connections()).toBe(before));
  const batch = await client.batches.retrieve(id);
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });

  const output = await client.files.retrieve(batch.output_file_id!);
  const text = await (await client.files.content(output.id)).text();
  expect(output.bytes).toBe(Buffer.byteLength(text));
  const results = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const wanted = chatLines(LINES).map(({ custom_id: name }) => name);
  expect(results.map(({ custom_id: name }) => name).sort()).toEqual(wanted.sort());
  for (const { custom_id: name, response } of results) {
    expect(response.body.choices[0].message.content).toBe(`to ${name}`);
  }
  expect(errors).toEqual([]);
});

test('a slice without work ends at once', async () => {
  const startedMs = performance.now();
  await runBatchSlice(dependencies);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});

test('a later slice drops the parts of a batch that ended, not its results', async () => {
  const { id } = await submit(3);
  await runToEnd(id);
  const parts = async () => (await store.keys()).filter((key) => key.startsWith(`parts/${id}_output/`));
  expect(await parts()).not.toEqual([]);
  laterMs = 2 * PARTS_GRACE_MS;
  await runBatchSlice(dependencies, SLICE_MS);
  expect(await parts()).toEqual([]);
  const { output_file_id: output, input_file_id: input } = await client.batches.retrieve(id);
  expect(await store.keys()).toEqual(expect.arrayContaining([`files/${output}`, `files/${input}`]));
  await client.files.delete(output!);
  expect(await store.keys()).not.toContain(`files/${output}`);
});
