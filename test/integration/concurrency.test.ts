import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Host } from '../../gpu-pool/host/host.ts';
import { type Ask, define, GREEDY, TestClient } from '../support/generate.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { startTestHost } from '../support/test-host.ts';

const redis = useRedis();
let host: Host;
let client: TestClient;

beforeAll(async () => {
  host = await startTestHost(redis.url);
  client = new TestClient(redis.url);
});
afterAll(async () => {
  await client.close();
  await host.close();
});

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

/** Requests of mixed length and settings: short and long prompts, greedy and sampled, penalties, stop texts, biases. */
function mixedRequest(index: number): Ask {
  const word = WORDS[index % WORDS.length]!;
  const many = Array.from({ length: 1 + (index % 5) * 4 }, (_, i) =>
    define(WORDS[(index + i) % WORDS.length]!),
  );
  const messages = many.flatMap((prompt) => (prompt.kind === 'chat' ? prompt.messages : []));
  return {
    prompt: index % 3 === 0 ? { kind: 'chat', messages } : define(word),
    maxTokens: 8 + (index % 7) * 4,
    sampling: {
      seed: 1_000 + index,
      temperature: [0, 0.7, 1, 1.5][index % 4]!,
      topP: index % 5 === 0 ? 0.9 : 1,
      topK: index % 6 === 0 ? 40 : 0,
      minP: index % 7 === 0 ? 0.02 : 0,
      presencePenalty: index % 8 === 0 ? 0.5 : 0,
      frequencyPenalty: index % 9 === 0 ? 0.3 : 0,
      repetitionPenalty: index % 10 === 0 ? 1.2 : 1,
      stop: index % 11 === 0 ? [';', 'that'] : [],
      logitBias: index % 13 === 0 ? [[13, -5]] : [],
      ignoreEndOfSequence: index % 4 === 3,
    },
  };
}

it('64 requests at once give the same texts as one at a time, and leave no KV slot behind', async () => {
  const requests = Array.from({ length: 64 }, (_, index) => mixedRequest(index));
  const alone: string[] = [];
  for (const request of requests) alone.push((await client.generate(request)).text);
  const together = await Promise.all(requests.map((request) => client.generate(request)));
  expect(together.map((answer) => answer.text)).toEqual(alone);
  expect(new Set(alone).size).toBeGreaterThan(48);
  expect(host.attention!.instances[0]!.statistics).toMatchObject({ slotsInUse: 0, waiting: 0 });
});

it('a long prompt is prefilled in chunks beside sequences that decode, without changing either', async () => {
  const ids = Array.from({ length: 400 }, (_, i) => GOLDEN_CASES[i % 20]!.prompt_ids[i % 8]!);
  const long: Ask = { prompt: { kind: 'tokens', ids }, maxTokens: 16 };
  const short: Ask = { prompt: define('harbor') };
  const [longAlone, shortAlone] = [await client.generate(long), await client.generate(short)];
  const together = await Promise.all([short, long, short, long, short].map((ask) => client.generate(ask)));
  expect(together.map((answer) => answer.ids)).toEqual(
    [shortAlone, longAlone, shortAlone, longAlone, shortAlone].map((answer) => answer.ids),
  );
});

it('a job that is run again goes on where its token stream ends, with the same draws', async () => {
  const ask: Ask = { prompt: define('music'), sampling: { temperature: 1, seed: 7 } };
  const whole = await client.generate(ask);
  // What a host leaves behind that dies after nine tokens: their events, and a job that is tried again.
  const requestId = randomUUID();
  const instance = host.attention!.instances[0]!;
  const job = {
    requestId,
    model: 'dictionary-moe',
    choice: 0,
    prompt: ask.prompt,
    sampling: { ...GREEDY, ...ask.sampling },
    maxTokens: null,
    acceptedAtMs: 0,
  };
  await instance.submit(job, whole.ids.slice(0, 9));
  const resumed = await client.read(requestId);
  expect(resumed.ids).toEqual(whole.ids.slice(9));
  expect(resumed.tokens[0]!.position).toBe(9);
  const textBefore = whole.tokens
    .slice(0, 9)
    .map((token) => token.text)
    .join('');
  expect(textBefore + resumed.text).toBe(whole.text);
});
