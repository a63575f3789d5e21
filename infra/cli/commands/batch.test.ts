import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKey } from '../../../functions/gateway/access/key-store.ts';
import { secureBytes } from '../../../functions/gateway/access/key-text.ts';
import {
  type BatchBed,
  chatLine,
  chatLines,
  contentOf,
  createBatchBed,
  jsonl,
} from '../../../test/support/gateway/batch-bed.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { usePrograms } from '../../../test/support/program.ts';
import { formatEnding } from '../batch/watch-batch.ts';

const janus = usePrograms('infra/cli/janus.ts');
let bed: BatchBed;
let folder: string;
let release: () => void;
beforeAll(async () => {
  bed = await createBatchBed();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'janus-cli-batch-'));
  const { promise, resolve } = Promise.withResolvers<void>();
  release = resolve;
  bed.pool.play(async (job, emit) => {
    if (contentOf(job) === 'held') await promise;
    if (contentOf(job) !== 'bad') return emit(...answer(job.choice, ['to ', contentOf(job)]));
    const error = { status: 400, type: 'invalid_request_error', code: 'x', param: null, message: 'No' };
    await emit({ kind: 'failed', choice: job.choice, error });
  });
});
afterEach(async () => {
  release();
  await rm(folder, { recursive: true });
});
afterAll(() => bed.close());

const batch = (...args: readonly string[]) => janus(['batch', ...args], { JANUS_URL: bed.address }).ended;

async function writeInput(lines: readonly object[]): Promise<string> {
  const path = join(folder, 'in.jsonl');
  await writeFile(path, jsonl(lines));
  return path;
}

async function submit(lines: readonly object[]): Promise<string> {
  const { status, stdout, stderr } = await batch('submit', await writeInput(lines));
  expect([status, stderr]).toEqual([0, '']);
  return stdout.trim();
}

describe('janus batch', () => {
  it('submits a file, watches the batch, and fetches answers and failures', async () => {
    const id = await submit([...chatLines(3), chatLine('wrong', 'bad')]);
    expect(id).toMatch(/^batch_[0-9a-f]{32}$/);
    const early = batch('watch', id);
    expect(await early).toMatchObject({
      status: 0,
      stdout: `${id} is completed: 3 of 4 answered, 1 failed\n`,
    });
    const out = join(folder, 'answers.jsonl');
    const fetched = await batch('fetch', id, '--out', out);
    const errors = join(folder, 'answers.errors.jsonl');
    expect(fetched.stdout).toBe(`wrote ${out}\nwrote ${errors}\n`);
    const answered = (await readFile(out, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answered.map((line) => line.custom_id).sort()).toEqual(['line-1', 'line-2', 'line-3']);
    expect(JSON.parse(await readFile(errors, 'utf8')).custom_id).toBe('wrong');
    expect((await readdir(folder)).sort()).toEqual(['answers.errors.jsonl', 'answers.jsonl', 'in.jsonl']);
  });

  it('cancels a batch, of which a watcher then tells with status 1', async () => {
    const id = await submit([chatLine('a'), chatLine('b', 'held')]);
    await vi.waitFor(async () => {
      expect((await bed.client.batches.retrieve(id)).request_counts?.completed).toBe(1);
    });
    const none = await batch('fetch', id);
    expect(none).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('is in_progress and has no results'),
    });
    const watching = batch('watch', id);
    expect((await batch('cancel', id)).stdout).toMatch(/ is cancell(ing|ed)\n$/);
    expect(await watching).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${id} is cancelled: 1 of 2 answered, 0 failed`),
    });
  });

  it('tells which lines of a file are wrong', async () => {
    const id = await submit([chatLine('a'), chatLine('a')]);
    const { status, stderr } = await batch('watch', id);
    expect(status).toBe(1);
    expect(stderr).toContain("\n  line 2: Invalid 'custom_id': line 1 has the same");
  });

  it('sends the key that the gateway asks for', async () => {
    const keyed = await createBatchBed();
    const settings = { class: 'api', models: null, requestsPerMinute: null, tokensPerMinute: null } as const;
    const random = { nowMs: 1, randomBytes: secureBytes };
    const { text } = await createKey(keyed.redis.client, { ...settings, name: 'me' }, random);
    const path = await writeInput(chatLines(1));
    const flags = ['batch', 'submit', path, '--url', `${keyed.address}/v1/`];
    expect(await janus(flags).ended).toMatchObject({ status: 1, stderr: expect.stringContaining('(401)') });
    expect(await janus([...flags, '--api-key', text]).ended).toMatchObject({ status: 0 });
    expect(await janus(flags, { JANUS_API_KEY: text }).ended).toMatchObject({ status: 0 });
    await keyed.close();
  });

  it.each<[string, string | null, readonly string[], RegExp]>([
    ['a file that does not exist', null, ['submit', 'no-such.jsonl'], /no-such\.jsonl cannot be read/],
    ['an empty file', ' \n', ['submit', 'in.jsonl'], /in\.jsonl begins with nothing/],
    ['a file that says no endpoint', '{}\n', ['submit', 'in.jsonl'], /no request with a "url"/],
    [
      'an unknown endpoint',
      '{}\n',
      ['submit', 'in.jsonl', '--endpoint', '/v1/x'],
      /\(400\): Invalid 'endpoint'/,
    ],
    ['an unknown batch', null, ['watch', 'batch_x'], /\(404\): No such batch: batch_x/],
    [
      'a gateway that is not there',
      null,
      ['watch', 'batch_x', '--url', 'http://127.0.0.1:1'],
      /No gateway answers at http:\/\/127\.0\.0\.1:1 \(.+\): start one, or give another --url/,
    ],
  ])('refuses %s with status 1 and one clear message', async (_, content, args, message) => {
    if (content !== null) await writeFile(join(folder, 'in.jsonl'), content);
    const placed = args.map((arg) => (arg.endsWith('.jsonl') ? join(folder, arg) : arg));
    const { status, stderr } = await batch(...placed);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(status).toBe(1);
  });
});

it('formatEnding shows the first errors and how many more there are', () => {
  const data = Array.from({ length: 25 }, (_, index) => ({
    line: index === 0 ? null : index,
    message: 'No',
  }));
  const counts = { total: 30, completed: 0, failed: 0 };
  const ending = { id: 'b', status: 'failed', errors: { data }, request_counts: counts };
  const lines = formatEnding({ ...ending, output_file_id: null, error_file_id: null }).split('\n');
  expect(lines.slice(0, 3)).toEqual(['b is failed: 0 of 30 answered, 0 failed', '  No', '  line 1: No']);
  expect(lines.slice(20)).toEqual(['  line 19: No', '  and 5 more']);
});
