import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { batchLeaseKey } from '../../../shared/protocol/keys.ts';
import { startRedis, type TestRedis } from '../../../test/support/gateway/redis-server.ts';
import { createBatchRecords } from '../batches.ts';
import { createFileRecords } from '../files.ts';
import { createDiskStore } from '../store/disk-store.ts';
import type { FileStore } from '../store/file-store.ts';
import { type BatchClaims, createBatchClaims, LeaseLostError } from './claims.ts';
import { partSeries, ResultLog } from './result-log.ts';

const BATCH = 'batch_a';
const LINES = 6;
const LEASE_MS = 60_000;

let redis: TestRedis;
let folder: string;
let store: FileStore;
let claims: BatchClaims;
beforeAll(async () => {
  redis = await startRedis();
  folder = await mkdtemp(join(tmpdir(), 'janus-log-'));
  store = createDiskStore(folder);
  claims = createBatchClaims(redis.client);
});
afterAll(async () => {
  await redis.stop();
  await rm(folder, { recursive: true });
});

async function openBatch(): Promise<void> {
  await redis.client.flushall();
  for (const kind of ['output', 'error'] as const) await store.removeParts(partSeries(BATCH, kind));
  const file = {
    id: 'file-in',
    owner: 'me',
    bytes: 1,
    createdAtS: 1,
    filename: 'x',
    purpose: 'batch',
  } as const;
  await createFileRecords(redis.client).add(file, 1);
  const batch = { id: BATCH, owner: 'me', models: null, metadata: null, createdAtS: 1, expiresAtS: 2 };
  const request = { endpoint: '/v1/completions', inputFileId: file.id } as const;
  await createBatchRecords(redis.client).create({ ...batch, ...request }, 1);
}

/** One process that may hold the batch, or believe so. */
class Process {
  log: ResultLog | undefined;
  readonly #name: string;
  #claims = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Takes the batch if it is to be had; what it held before it forgets, as a process that starts anew. */
  async take(): Promise<void> {
    this.#claims += 1;
    const claim = { batchId: BATCH, token: `${this.#name}${this.#claims}` };
    if ((await claims.take(claim, LEASE_MS)) === undefined) return;
    await this.forget();
    this.log = new ResultLog({ store, claims, claim, lost: new AbortController().signal });
  }

  /** Answers lines as one that knows of no other process: what it lost shows only when it records. */
  async answer(lines: readonly number[]): Promise<void> {
    const { log } = this;
    if (log === undefined) return;
    const results = lines.map((line) => {
      const kind = line % 3 === 0 ? 'error' : 'output';
      return log.add(line, { kind, text: `${line} by ${this.#name}\n` });
    });
    const outcomes = await Promise.allSettled(results);
    const failures = outcomes.filter((outcome) => outcome.status === 'rejected');
    for (const { reason } of failures) expect(reason).toBeInstanceOf(LeaseLostError);
    if (failures.length > 0) await this.forget();
  }

  /** Writes bytes that it does not live to record. */
  async crash(line: number): Promise<void> {
    if (this.log === undefined) return;
    await redis.client.del(batchLeaseKey(BATCH));
    await this.log.add(line, { kind: 'output', text: `${line} by nobody\n` }).catch(() => {});
    await this.forget();
  }

  async forget(): Promise<void> {
    await this.log?.close();
    this.log = undefined;
  }
}

const linesOf = async (kind: 'output' | 'error'): Promise<string[]> => {
  const { [kind]: parts } = await claims.parts(BATCH);
  const id = `file-${crypto.randomUUID()}`;
  await store.join(id, partSeries(BATCH, kind), parts);
  const text = await new Response(await store.read(id)).text();
  await store.remove(id);
  return text.split('\n').filter((line) => line !== '');
};

describe('results of two processes', () => {
  beforeEach(openBatch);

  type Step = (processes: readonly [Process, Process]) => Promise<void>;
  const who = fc.constantFrom(0, 1);
  const line = fc.integer({ min: 1, max: LINES });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 3,
      arbitrary: who.map(
        (index): Step =>
          (processes) =>
            processes[index]!.take(),
      ),
    },
    {
      weight: 5,
      arbitrary: fc.tuple(who, fc.uniqueArray(line, { minLength: 1, maxLength: 3 })).map(
        ([index, lines]): Step =>
          (processes) =>
            processes[index]!.answer(lines),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(who, line).map(
        ([index, number]): Step =>
          (processes) =>
            processes[index]!.crash(number),
      ),
    },
    // The lease runs out, and who held it does not know.
    {
      weight: 2,
      arbitrary: fc.constant<Step>(async () => void (await redis.client.del(batchLeaseKey(BATCH)))),
    },
  );

  test('are one per line, whoever takes over when', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        await openBatch();
        const processes = [new Process('a'), new Process('b')] as const;
        for (const perform of steps) await perform(processes);

        const done = await claims.doneLines(BATCH);
        const expected = Array.from({ length: LINES }, (_, index) => index + 1).filter((each) =>
          done.has(each),
        );
        const written = [...(await linesOf('output')), ...(await linesOf('error'))];
        expect(written.map((text) => Number.parseInt(text, 10)).sort()).toEqual(expected);
        expect(written.join()).not.toContain('nobody');
        const { counts } = (await createBatchRecords(redis.client).find('me', BATCH))!;
        expect(counts.completed + counts.failed).toBe(expected.length);
        for (const process of processes) await process.forget();
      }),
      { numRuns: 60 },
    );
  });

  test('that come together are written together, and all count', async () => {
    const process = new Process('a');
    await process.take();
    await process.answer([1, 2, 3, 4, 5, 6]);
    expect(await linesOf('output')).toHaveLength(4);
    expect(await linesOf('error')).toHaveLength(2);
  });

  test('are refused once the log is closed or broken', async () => {
    const process = new Process('a');
    await process.take();
    const { log } = process;
    await redis.client.del(batchLeaseKey(BATCH));
    await expect(log?.add(1, { kind: 'output', text: 'x\n' })).rejects.toThrow(LeaseLostError);
    await expect(log?.add(2, { kind: 'output', text: 'x\n' })).rejects.toThrow(LeaseLostError);
    await log?.close();
    expect(await linesOf('output')).toEqual([]);
  });
});
