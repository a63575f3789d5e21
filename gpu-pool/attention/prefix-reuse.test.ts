import { describe, expect, test } from 'vitest';
import {
  config,
  EngineBed,
  type EngineBedOptions,
  MAX_ROWS,
} from '../../test/support/attention/engine-bed.ts';

const MIB = 2 ** 20;

/** Seeded token ids, spread over the vocabulary but for its last, which ends answers. */
function ids(count: number, seed: number): number[] {
  let state = seed + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % (config.vocabularySize - 1);
  });
}

function expectSameBits(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  const bytes = (logits: readonly Float32Array[]) =>
    Buffer.concat(logits.map(({ buffer }) => Buffer.from(buffer)));
  expect(bytes(actual).equals(bytes(expected))).toBe(true);
}

const off: EngineBedOptions = { prefixBytes: 0 };
const on: EngineBedOptions = { prefixBytes: 64 * MIB };

describe('a prompt whose beginning is kept', () => {
  test.each([63, 64, 65, 200, 449])(
    'has bit by bit the logits of one that is computed whole (%d common tokens)',
    async (common) => {
      const prompt = [...ids(common, 1), ...ids(12, 2)];
      const whole = await new EngineBed(off).generate(prompt, 8);
      // None of them cuts off a single row of these prompts.
      for (const tokenBudget of [MAX_ROWS, 50, 17]) {
        const bed = new EngineBed({ ...on, tokenBudget });
        await bed.generate([...ids(common, 1), ...ids(20, 3)]);
        const { ids: answer, logits, rows } = await bed.generate(prompt, 8);
        expect(rows).toBe(prompt.length + 7 - Math.floor(common / 64) * 64);
        expect(answer).toEqual(whole.ids);
        expectSameBits(logits, whole.logits);
      }
    },
  );
});

test('the next turn of a conversation goes on behind the last question, whose rows are exact', async () => {
  const question = ids(130, 1);
  const bed = new EngineBed(on);
  const first = await bed.generate(question, 70);
  const next = [...question, ...first.ids, ...ids(15, 2)];
  const { logits, rows } = await bed.generate(next, 8);
  // ONNX Runtime computed the answer's rows one by one, so that they are not those of a prompt to the last bit.
  expect(rows).toBe(next.length + 7 - 128);
  expectSameBits(logits, (await new EngineBed(off).generate(next, 8)).logits);
});

test('of requests that come together the first computes what all begin with', async () => {
  const beginning = ids(330, 1);
  const prompts = [2, 3, 4].map((seed) => [...beginning, ...ids(10, seed)]);
  const bed = new EngineBed(on);
  const requests = prompts.map((prompt) => bed.submit(prompt, 5));
  await bed.drain();
  // One whole prompt; of the others the ends, and what a step had room for before the first was done.
  expect(bed.forwardPass.rows).toBeLessThan(340 + 2 * 20 + MAX_ROWS + 3 * 5);
  for (const [i, prompt] of prompts.entries()) {
    expect(bed.answer(requests[i])).toEqual((await new EngineBed(off).generate(prompt, 5)).ids);
  }
});

describe('the last event tells how many prompt tokens were not computed', () => {
  test('of one request after another', async () => {
    const bed = new EngineBed(on);
    const requests: string[] = [];
    for (const seed of [2, 3]) {
      requests.push(bed.submit([...ids(200, 1), ...ids(20, seed)], 3));
      await bed.drain();
    }
    expect(requests.map((request) => bed.cachedTokens(request))).toEqual([0, 192]);
    // All that was looked for and not found was computed; rows of answers are not looked for.
    expect(bed.prefixCache!.statistics).toMatchObject({ hits: 1, hitTokens: 192, missTokens: 220 + 28 });
    expect(bed.forwardPass.rows).toBe(220 + 28 + 2 * 2);
  });

  test('of a job that is tried again, without the answer tokens that were kept too', async () => {
    const bed = new EngineBed(on);
    const prompt = ids(100, 1);
    const emitted = ids(60, 2);
    bed.submit([...prompt, ...emitted]);
    await bed.drain();
    const again = bed.submit(prompt, 70, emitted);
    await bed.drain();
    expect(bed.cachedTokens(again)).toBe(100);
    expect(bed.prefixCache!.statistics).toMatchObject({ hitTokens: 128, missTokens: 160 + 32 });
  });

  test('of a cancelled request', async () => {
    const bed = new EngineBed(on);
    bed.submit(ids(300, 1));
    await bed.drain();
    const given = bed.submit(ids(300, 1), 10);
    await bed.engine.step();
    bed.engine.cancel(given);
    expect(bed.cachedTokens(given)).toBe(256);
  });
});

test('a prompt that was given up half-way is not computed twice', async () => {
  const prompt = ids(400, 1);
  const bed = new EngineBed(on);
  const requestId = bed.submit(prompt);
  await bed.engine.step();
  await bed.engine.step();
  bed.engine.cancel(requestId);
  expect((await bed.generate(prompt)).rows).toBe(400 - 256);
});

test('many requests stay within the bound, and are answered as without it', async () => {
  const blockBytes = config.layers * 2 * 64 * config.keyValueHeads * config.headSize * 4;
  const maxBytes = 5 * blockBytes + 1;
  const bed = new EngineBed({ prefixBytes: maxBytes });
  for (let round = 0; round < 12; round++) {
    const prompt = [...ids(130, round % 3), ...ids(40, round)];
    const { ids: answer } = await bed.generate(prompt, 3);
    expect(answer).toEqual((await new EngineBed(off).generate(prompt, 3)).ids);
    expect(bed.prefixCache!.statistics.bytes).toBeLessThanOrEqual(maxBytes);
  }
  const { evictions, hits, hitTokens, blocks } = bed.prefixCache!.statistics;
  expect(blocks).toBe(5);
  expect(evictions).toBeGreaterThan(0);
  expect(hits).toBeGreaterThan(0);
  expect(hitTokens).toBeGreaterThanOrEqual(64 * hits);
});

test('with 400 common tokens of 410 the first token comes in a quarter of the time', async () => {
  const ratios: number[] = [];
  for (let round = 0; round < 3; round++) {
    const bed = new EngineBed(on);
    const times: number[] = [];
    for (const seed of [2, 3]) {
      const startedAt = performance.now();
      await bed.generate([...ids(400, 1), ...ids(10, seed)]);
      times.push(performance.now() - startedAt);
    }
    ratios.push(times[1] / times[0]);
  }
  expect(Math.min(...ratios)).toBeLessThan(0.25);
});
