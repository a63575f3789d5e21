import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packQuietly } from '../../gpu-pool/packed/pack/pack-quietly.fixture.ts';
import { BLOCK_TOKENS } from '../../shared/prefix/block-key.ts';
import { usePrograms } from '../support/program.ts';
import { DICTIONARY_FOLDER } from '../support/test-host.ts';

const WORDS = [
  'harbor',
  'music',
  'dog',
  'tree',
  'king',
  'water',
  'gold',
  'house',
  'island',
  'run',
  'red',
  'cat',
];
const janus = usePrograms('infra/cli/janus.ts');
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'janus-e2e-prefix-'));
  await packQuietly(DICTIONARY_FOLDER, join(folder, 'words'), 'int4');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('a prompt that came before is not computed again; usage and status tell, and status the form of the packed weights', async () => {
  const up = janus(['up', '--port', '0', '--model', join(folder, 'words'), '--prefix-cache-mib', '4']);
  const [, url] = await up.waitFor(/^ready +(http\S+\/v1)/m);
  const [, redisUrl] = await up.waitFor(/^redis +(redis:\S+),/m);
  const client = new OpenAI({ baseURL: url!, apiKey: 'unused', maxRetries: 0 });
  const ask = async () => {
    const { choices, usage } = await client.chat.completions.create({
      model: 'words',
      messages: WORDS.map((word) => ({ role: 'user', content: `Define "${word}".` })),
      temperature: 0,
    });
    const cached = usage!.prompt_tokens_details!.cached_tokens!;
    return { text: choices[0]!.message.content, prompt: usage!.prompt_tokens, cached };
  };
  const first = await ask();
  const second = await ask();
  expect(first).toMatchObject({ cached: 0 });
  expect(second).toMatchObject({ text: first.text, prompt: first.prompt });
  expect(second.cached).toBeGreaterThanOrEqual(BLOCK_TOKENS);
  expect(second.cached).toBeLessThan(second.prompt);

  const status = async (...args: string[]) =>
    (await janus(['status', '--redis', redisUrl!, ...args]).ended).stdout;
  const hostRecord = async () => JSON.parse(await status('--json')).models[0].hosts[0];
  await expect
    .poll(async () => (await hostRecord()).attention[0].prefixCache, { timeout: 10_000 })
    .toMatchObject({ hits: 1, hitTokens: second.cached, maxBytes: 4 * 2 ** 20, evictions: 0 });
  expect((await hostRecord()).weightForm).toBe('int4');
  const found = `${second.cached} of ${2 * first.prompt} prompt tokens found`;
  expect(await status()).toMatch(
    new RegExp(`prefix cache of \\d+ blocks, .* of 4\\.0 MiB; ${found}; 0 blocks evicted`),
  );
});
