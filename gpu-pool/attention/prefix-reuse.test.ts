import { afterAll, describe, expect, test } from 'vitest';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { GREEDY } from '../../test/support/generate.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../../test/support/test-host.ts';
import { loadModelFolder } from '../checkpoint/model-folder.ts';
import { MonolithExchange } from '../exchange/monolith.ts';
import { AttentionModel } from '../runtime/attention-model.ts';
import { checkpointWeights } from '../runtime/checkpoint-weights.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import { weightFormats } from '../runtime/weights.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { Engine } from './engine.ts';
import { ForwardPass } from './forward-pass.ts';
import { KvCache } from './kv-cache.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { Sequence } from './sequence.ts';
import { SequenceFactory } from './sequence-factory.ts';

const MAX_ROWS = 128;
const MIB = 2 ** 20;

const { config, checkpoint } = loadModelFolder(DICTIONARY_FOLDER);
const tokenizer = loadTokenizer(DICTIONARY_FOLDER, config.vocabularySize);
const weights = checkpointWeights(checkpoint);
const model = AttentionModel.load(config, weights, { formats: weightFormats('f32'), maxRows: MAX_ROWS });
const experts = new ExpertModel(config, weights, weightFormats('f32'));
for (let layer = 0; layer < config.layers; layer++) {
  for (let expert = 0; expert < config.experts; expert++) experts.load(layer, expert);
}
checkpoint.close();
afterAll(() => {
  model.release();
  experts.release();
});

/** Counts the rows that are computed, and keeps the logits that were sampled from. */
class WatchedForwardPass extends ForwardPass {
  rows = 0;
  readonly seenLogits: Float32Array[] = [];

  override async run(sequences: readonly Sequence[], rows: Int32Array, total: number): Promise<void> {
    this.rows += total;
    await super.run(sequences, rows, total);
  }

  override logits(index: number): Float32Array | undefined {
    const logits = super.logits(index);
    if (logits !== undefined) this.seenLogits.push(logits.slice());
    return logits;
  }
}

interface BedOptions {
  readonly prefixBytes: number;
  readonly tokenBudget?: number;
}

/** An engine of the shipped model without other threads. */
class Bed {
  readonly cache = new KvCache({
    slots: 4,
    layers: config.layers,
    kvWidth: config.keyValueHeads * config.headSize,
    contextLength: config.contextLength,
  });
  readonly prefixCache: PrefixCache | undefined;
  readonly forwardPass: WatchedForwardPass;
  readonly engine: Engine;
  readonly #events = new Map<string, TokenEvent[]>();
  #requests = 0;

  constructor({ prefixBytes, tokenBudget = MAX_ROWS }: BedOptions) {
    const { hiddenSize, expertsPerToken } = config;
    const shape = { maxRows: MAX_ROWS, hiddenSize, expertsPerToken };
    const exchange = new MonolithExchange(shape, config.experts, (...call) => experts.run(...call));
    this.prefixCache =
      prefixBytes > 0 ? new PrefixCache({ cache: this.cache, maxBytes: prefixBytes }) : undefined;
    this.forwardPass = new WatchedForwardPass(config, model, this.cache, exchange);
    this.engine = new Engine({
      factory: new SequenceFactory(config, tokenizer),
      cache: this.cache,
      ...(this.prefixCache && { prefixCache: this.prefixCache }),
      forwardPass: this.forwardPass,
      limits: { tokenBudget, prefillBudget: tokenBudget, waiting: 100 },
      listener: {
        event: (requestId, event) => this.#events.get(requestId)!.push(event),
        ended: () => {},
      },
    });
  }

  submit(promptIds: readonly number[], maxTokens = 1, emitted: readonly number[] = []): string {
    const requestId = `request ${this.#requests++}`;
    this.#events.set(requestId, []);
    const job = {
      requestId,
      model: DICTIONARY_MODEL,
      choice: 0,
      prompt: { kind: 'tokens', ids: promptIds },
      sampling: { ...GREEDY, ignoreEndOfSequence: true },
      maxTokens,
      acceptedAtMs: 0,
    } as const;
    this.engine.submit(job, emitted);
    return requestId;
  }

  async drain(): Promise<void> {
    while (!this.engine.idle) await this.engine.step();
  }

  /** Token ids of an answer. */
  answer(requestId: string): number[] {
    return this.#events.get(requestId)!.flatMap((event) => (event.kind === 'token' ? [event.id] : []));
  }

  /** Prompt tokens that were not computed for a request, as its last event tells. */
  cachedTokens(requestId: string): number {
    const end = this.#events.get(requestId)!.at(-1)!;
    if (end.kind !== 'finished') throw new Error(`The last event is ${end.kind}.`);
    return end.cachedTokens;
  }

  /** One request alone: its answer, the logits that it was sampled from, and the rows that were computed for it. */
  async generate(promptIds: readonly number[], maxTokens = 1) {
    const before = this.forwardPass.rows;
    this.forwardPass.seenLogits.length = 0;
    const requestId = this.submit(promptIds, maxTokens);
    await this.drain();
    return {
      ids: this.answer(requestId),
      logits: [...this.forwardPass.seenLogits],
      rows: this.forwardPass.rows - before,
    };
  }
}

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

const off: BedOptions = { prefixBytes: 0 };
const on: BedOptions = { prefixBytes: 64 * MIB };

describe('a prompt whose beginning is kept', () => {
  test.each([63, 64, 65, 200, 449])(
    'has bit by bit the logits of one that is computed whole (%d common tokens)',
    async (common) => {
      const prompt = [...ids(common, 1), ...ids(12, 2)];
      const whole = await new Bed(off).generate(prompt, 8);
      // None of them cuts off a single row of these prompts.
      for (const tokenBudget of [MAX_ROWS, 50, 17]) {
        const bed = new Bed({ ...on, tokenBudget });
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
  const bed = new Bed(on);
  const first = await bed.generate(question, 70);
  const next = [...question, ...first.ids, ...ids(15, 2)];
  const { logits, rows } = await bed.generate(next, 8);
  // ONNX Runtime computed the answer's rows one by one, so that they are not those of a prompt to the last bit.
  expect(rows).toBe(next.length + 7 - 128);
  expectSameBits(logits, (await new Bed(off).generate(next, 8)).logits);
});

test('of requests that come together the first computes what all begin with', async () => {
  const beginning = ids(330, 1);
  const prompts = [2, 3, 4].map((seed) => [...beginning, ...ids(10, seed)]);
  const bed = new Bed(on);
  const requests = prompts.map((prompt) => bed.submit(prompt, 5));
  await bed.drain();
  // One whole prompt; of the others the ends, and what a step had room for before the first was done.
  expect(bed.forwardPass.rows).toBeLessThan(340 + 2 * 20 + MAX_ROWS + 3 * 5);
  for (const [i, prompt] of prompts.entries()) {
    expect(bed.answer(requests[i])).toEqual((await new Bed(off).generate(prompt, 5)).ids);
  }
});

describe('the last event tells how many prompt tokens were not computed', () => {
  test('of one request after another', async () => {
    const bed = new Bed(on);
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
    const bed = new Bed(on);
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
    const bed = new Bed(on);
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
  const bed = new Bed(on);
  const requestId = bed.submit(prompt);
  await bed.engine.step();
  await bed.engine.step();
  bed.engine.cancel(requestId);
  expect((await bed.generate(prompt)).rows).toBe(400 - 256);
});

test('many requests stay within the bound, and are answered as without it', async () => {
  const blockBytes = config.layers * 2 * 64 * config.keyValueHeads * config.headSize * 4;
  const maxBytes = 5 * blockBytes + 1;
  const bed = new Bed({ prefixBytes: maxBytes });
  for (let round = 0; round < 12; round++) {
    const prompt = [...ids(130, round % 3), ...ids(40, round)];
    const { ids: answer } = await bed.generate(prompt, 3);
    expect(answer).toEqual((await new Bed(off).generate(prompt, 3)).ids);
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
    const bed = new Bed(on);
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
