import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';

const LINES = 150;

const janus = usePrograms('infra/cli/janus.ts');
const redis = useRedis();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'janus-batches-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const customId = (number: number): string => `line-${number}`;
const line = (number: number) => ({
  custom_id: customId(number),
  method: 'POST',
  url: '/v1/chat/completions',
  body: {
    model: 'dictionary-moe',
    messages: [{ role: 'user', content: 'Define "window".' }],
    temperature: 0,
    max_tokens: 24,
    ignore_eos: true,
  },
});
const numbers = Array.from({ length: LINES }, (_, index) => index + 1);

it('the shipped model answers every line of a batch once, though the gateway that runs it is killed', async () => {
  const start = (...args: string[]) => janus(args, { REDIS_URL: redis.url });
  const files = ['--files-dir', join(folder, 'files')];
  const gateways = [
    start('gateway', '--port', '0', '--drain-notice', '0', ...files),
    start('gateway', '--port', '0', '--drain-notice', '0', ...files),
  ] as const;
  const host = start('host', '--role', 'both');
  await host.waitFor(/^ready/m);
  const urlOf = async (index: 0 | 1) => (await gateways[index].waitFor(/^ready: (http\S+)\/v1/m))[1]!;
  const [first, second] = [await urlOf(0), await urlOf(1)];

  const input = join(folder, 'in.jsonl');
  writeFileSync(input, numbers.map((number) => JSON.stringify(line(number))).join('\n'));
  const submitted = await janus(['batch', 'submit', input, '--url', first]).ended;
  expect(submitted).toMatchObject({ status: 0, stderr: '' });
  const id = submitted.stdout.trim();

  const client = new OpenAI({ baseURL: `${second}/v1`, apiKey: 'unused', maxRetries: 0 });
  await vi.waitFor(
    async () => expect((await client.batches.retrieve(id)).request_counts?.completed).toBeGreaterThan(5),
    { timeout: 30_000 },
  );
  gateways[0].kill('SIGKILL');
  await gateways[0].ended;
  expect((await client.batches.retrieve(id)).status).toBe('in_progress');

  const watched = await janus(['batch', 'watch', id, '--url', second]).ended;
  expect(watched.stdout).toBe(`${id} is completed: ${LINES} of ${LINES} answered, 0 failed\n`);
  const out = join(folder, 'out.jsonl');
  await janus(['batch', 'fetch', id, '--url', second, '--out', out]).ended;
  const results = readFileSync(out, 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  expect(results.map((result) => result.custom_id).sort()).toEqual(numbers.map(customId).sort());
  // The same question, greedily answered, is answered the same by whoever carries it.
  expect(new Set(results.map((result) => result.response.body.choices[0].message.content)).size).toBe(1);
  expect(readdirSync(join(folder, 'files')).filter((name) => name.endsWith('.new'))).toEqual([]);
}, 120_000);
