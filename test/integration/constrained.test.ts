import { describe, expect, it } from 'vitest';
import { Automaton } from '../../shared/constrained/automaton.ts';
import { compileConstraint } from '../../shared/constrained/compile-schema.ts';
import type { Constraint, SamplingSettings, SequenceJob } from '../../shared/protocol/request.ts';
import { EngineBed } from '../support/attention/engine-bed.ts';
import { fits } from '../support/constrained/validate.ts';
import { GREEDY } from '../support/generate.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

/** The shipped model knows nothing of JSON: whatever fits is the constraint's doing. */
const ENTRY = {
  type: 'object',
  properties: {
    word: { type: 'string', minLength: 1, maxLength: 12 },
    kind: { enum: ['noun', 'verb', 'adjective'] },
    senses: { type: 'integer', minimum: 1, maximum: 40 },
    tags: { type: 'array', items: { type: 'string', maxLength: 6 }, maxItems: 3 },
    root: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/root' }] },
    'in use?': { type: 'boolean' },
  },
  required: ['word', 'kind', 'senses', 'root'],
  additionalProperties: false,
  $defs: {
    root: {
      type: 'object',
      properties: {
        language: { type: 'string', pattern: '^[a-z]{2,8}$' },
        since: { type: 'string', format: 'date' },
      },
      required: ['language'],
    },
  },
};
const CONSTRAINT: Constraint = { kind: 'json_schema', schema: ENTRY };
const MOST_TOKENS = 300;
const prompts = GOLDEN_CASES.slice(0, 6).map(({ prompt_ids }) => prompt_ids);

const overrides = (
  sampling: Partial<SamplingSettings> = {},
  constraint: Constraint | null = CONSTRAINT,
): Partial<SequenceJob> => ({
  sampling: { ...GREEDY, ...sampling },
  ...(constraint && { constraint }),
});

/** Seeded sampling of several kinds. */
const SAMPLED: readonly Partial<SamplingSettings>[] = Array.from({ length: 12 }, (_, index) => ({
  seed: 100 + index,
  temperature: [0.7, 1, 1.5][index % 3]!,
  topP: index % 2 === 0 ? 1 : 0.9,
  topK: index % 4 === 0 ? 20 : 0,
  repetitionPenalty: index % 5 === 0 ? 1.3 : 1,
}));

function expectEntry(bed: EngineBed, request: string): void {
  const text = bed.text(request);
  expect(bed.lastEvent(request), text).toMatchObject({ kind: 'finished', reason: 'stop' });
  expect(fits(ENTRY, JSON.parse(text)), text).toBe(true);
}

describe('an answer with a schema, by the shipped model', () => {
  it('parses and fits, greedy and sampled', async () => {
    const bed = new EngineBed({ prefixBytes: 0 });
    const requests = [{}, ...SAMPLED].map((sampling, index) =>
      bed.submit(prompts[index % prompts.length]!, MOST_TOKENS, [], overrides(sampling)),
    );
    await bed.drain();
    for (const request of requests) expectEntry(bed, request);
    expect(new Set(requests.map((request) => bed.text(request))).size).toBeGreaterThan(SAMPLED.length / 2);
  });

  it('is that of the same seed, alone or in a batch, and changes no answer beside it', async () => {
    const asks = SAMPLED.slice(0, 8).map((sampling, index) => ({
      prompt: prompts[index % prompts.length]!,
      job: overrides(sampling, index % 2 === 0 ? CONSTRAINT : null),
    }));
    const alone: number[][] = [];
    for (const { prompt, job } of asks) {
      const bed = new EngineBed({ prefixBytes: 0 });
      const request = bed.submit(prompt, 60, [], job);
      await bed.drain();
      alone.push(bed.answer(request));
    }
    const bed = new EngineBed({ prefixBytes: 0 });
    const together = asks.map(({ prompt, job }) => bed.submit(prompt, 60, [], job));
    await bed.drain();
    expect(together.map((request) => bed.answer(request))).toEqual(alone);
  });

  it('goes on behind what another host generated as if nothing had happened', async () => {
    const bed = new EngineBed({ prefixBytes: 0 });
    const job = overrides({ temperature: 1, seed: 7 });
    const whole = bed.submit(prompts[0]!, MOST_TOKENS, [], job);
    await bed.drain();
    const ids = bed.answer(whole);
    for (const length of [1, 2, Math.floor(ids.length / 2), ids.length - 1]) {
      const resumed = bed.submit(prompts[0]!, MOST_TOKENS, ids.slice(0, length), job);
      await bed.drain();
      expect(bed.answer(resumed)).toEqual(ids.slice(length));
    }
    const foreign = bed.submit(prompts[0]!, MOST_TOKENS, GOLDEN_CASES[0]!.generated_ids.slice(0, 3), job);
    await bed.drain();
    expect(bed.lastEvent(foreign)).toMatchObject({ kind: 'failed', error: { status: 400 } });
  });

  it('ends with length where its tokens do not suffice, and where it is whole although the end is ignored', async () => {
    const bed = new EngineBed({ prefixBytes: 0 });
    const short = bed.submit(prompts[1]!, 6, [], overrides());
    const ignoring = bed.submit(prompts[1]!, MOST_TOKENS, [], overrides({ ignoreEndOfSequence: true }));
    const plain = bed.submit(prompts[1]!, MOST_TOKENS, [], overrides());
    await bed.drain();
    expect(bed.lastEvent(short)).toMatchObject({ kind: 'finished', reason: 'length' });
    expect(bed.answer(short)).toEqual(bed.answer(plain).slice(0, 6));
    expectEntry(bed, ignoring);
    expect(bed.answer(ignoring)).toEqual(bed.answer(plain));
  });

  it('ends at a stop text as any other', async () => {
    const bed = new EngineBed({ prefixBytes: 0 });
    const request = bed.submit(prompts[2]!, MOST_TOKENS, [], overrides({ stop: ['"kind"'] }));
    await bed.drain();
    expect(bed.lastEvent(request)).toMatchObject({ kind: 'finished', reason: 'stop' });
    expect(bed.text(request)).toMatch(/^\{"word": ?".*", ?$/s);
  });

  it('of any object is one, as far as it came', async () => {
    const bed = new EngineBed({ prefixBytes: 0 });
    const constraint: Constraint = { kind: 'json_object' };
    const automaton = new Automaton(compileConstraint(constraint));
    const requests = SAMPLED.map((sampling) =>
      bed.submit(prompts[3]!, 60, [], overrides(sampling, constraint)),
    );
    await bed.drain();
    for (const request of requests) {
      const text = bed.text(request);
      const end = bed.lastEvent(request);
      expect(text.startsWith('{')).toBe(true);
      if (end.kind === 'finished' && end.reason === 'stop') JSON.parse(text);
      else
        expect(
          automaton.read(automaton.start, new TextEncoder().encode(text.replace(/\ufffd$/, ''))),
        ).not.toBeNull();
    }
  });
});

describe('through the gateway', () => {
  const served = useServedModel();

  const post = async (path: string, body: object) => {
    const response = await fetch(`${served.address}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: DICTIONARY_MODEL, ...body }),
    });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return JSON.parse(text) as {
      choices: { text: string; message: { content: string }; finish_reason: string }[];
    };
  };

  it('every choice of a chat and of a text completion fits', async () => {
    const response_format = {
      type: 'json_schema',
      json_schema: { name: 'entry', schema: ENTRY, strict: true },
    };
    const shared = { response_format, n: 4, seed: 3, temperature: 1, max_tokens: MOST_TOKENS };
    const messages = [{ role: 'user', content: 'Define "harbor".' }];
    const chat = await post('chat/completions', { ...shared, messages });
    const text = await post('completions', { ...shared, prompt: 'Define "harbor".' });
    const contents = [
      ...chat.choices.map(({ message }) => message.content),
      ...text.choices.map((one) => one.text),
    ];
    expect(contents).toHaveLength(8);
    for (const content of contents) expect(fits(ENTRY, JSON.parse(content)), content).toBe(true);
    expect(chat.choices.every(({ finish_reason }) => finish_reason === 'stop')).toBe(true);
    const again = await post('chat/completions', { ...shared, messages });
    expect(again.choices).toEqual(chat.choices);
  });
});
