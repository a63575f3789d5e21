import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { SamplingSettings } from '../../../shared/protocol/request.ts';
import { uniform } from './random.ts';
import { Sampler, SamplingScratch } from './sampler.ts';

const neutral: SamplingSettings = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  seed: 7,
  logitBias: [],
  stop: [],
  stopTokenIds: [],
  ignoreEndOfSequence: false,
  topLogprobs: null,
};
const greedy: SamplingSettings = { ...neutral, temperature: 0 };

function samplerFor(settings: Partial<SamplingSettings>, vocabularySize: number, promptIds: number[] = []) {
  return new Sampler({ ...neutral, ...settings }, promptIds, new SamplingScratch(vocabularySize));
}

/** The tokens drawn at positions 0 to draws − 1, counted by id. */
function countDraws(settings: Partial<SamplingSettings>, logits: Float32Array, draws: number): number[] {
  const sampler = samplerFor(settings, logits.length);
  const counts = new Array<number>(logits.length).fill(0);
  for (let position = 0; position < draws; position++) counts[sampler.sample(logits, position)]++;
  return counts;
}

/** Logits after bias and penalties, as the sampler holds them: in single precision. */
function adjust(logits: Float32Array, settings: SamplingSettings, promptIds: number[], answerIds: number[]) {
  const adjusted = Float32Array.from(logits);
  for (const [id, bias] of settings.logitBias) adjusted[id] += bias;
  return adjusted.map((before, id) => {
    const count = answerIds.filter((answerId) => answerId === id).length;
    const seen = count > 0 || promptIds.includes(id);
    const repeated = !seen
      ? before
      : before > 0
        ? before / settings.repetitionPenalty
        : before * settings.repetitionPenalty;
    return repeated - settings.frequencyPenalty * count - (count > 0 ? settings.presencePenalty : 0);
  });
}

/** Min-p, top-k and top-p, each by its definition on a fully sorted list: [id, weight], best first. */
function referenceCandidates(adjusted: Float32Array, settings: SamplingSettings): [number, number][] {
  const largest = Math.max(...adjusted);
  let kept = Array.from(adjusted, (logit, id): [number, number] => [
    id,
    Math.exp((logit - largest) / settings.temperature),
  ])
    .filter(([, weight]) => weight > 0 && weight >= settings.minP)
    .sort(([a], [b]) => adjusted[b] - adjusted[a] || a - b);
  if (settings.topK > 0) kept = kept.slice(0, settings.topK);
  if (settings.topP < 1) {
    const mass = kept.reduce((sum, [, weight]) => sum + weight, 0);
    let before = 0;
    kept = kept.filter(([, weight]) => {
      const needed = before < settings.topP * mass;
      before += weight;
      return needed;
    });
  }
  return kept;
}

const vocabularySize = 24;
const tokenId = fc.integer({ min: 0, max: vocabularySize - 1 });
/** Far enough apart that different logits have different weights. */
const sixtyFourths = fc.integer({ min: -768, max: 768 }).map((parts) => parts / 64);
const logitsOf24 = fc
  .array(fc.oneof(sixtyFourths, fc.constantFrom(0, 1, 2)), {
    minLength: vocabularySize,
    maxLength: vocabularySize,
  })
  .map((values) => Float32Array.from(values));
const anySettings = fc
  .record({
    temperature: fc.oneof(fc.constant(0), fc.double({ min: 0.05, max: 3, noNaN: true })),
    topP: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 0.999, noNaN: true })),
    topK: fc.integer({ min: 0, max: 30 }),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.5, noNaN: true })),
    presencePenalty: fc.constantFrom(0, 0.5, -1),
    frequencyPenalty: fc.constantFrom(0, 0.25, -0.5),
    repetitionPenalty: fc.constantFrom(1, 1.25, 0.8),
    seed: fc.integer({ min: 0, max: 0xffffffff }),
    logitBias: fc.array(fc.tuple(tokenId, fc.integer({ min: -10, max: 10 })), { maxLength: 4 }),
  })
  .map((settings): SamplingSettings => ({ ...neutral, ...settings }));

/** The token that the reference draws, with the bound of the nucleus and the point of the draw scaled by `nudge`. */
function referenceDraw(
  adjusted: Float32Array,
  settings: SamplingSettings,
  random: number,
  nudge: number,
): number {
  const candidates = referenceCandidates(adjusted, {
    ...settings,
    topP: settings.topP < 1 ? settings.topP * nudge : 1,
  });
  // Under top-k the candidates are walked best first, without it by id.
  if (settings.topK === 0 || settings.topK >= adjusted.length) candidates.sort(([a], [b]) => a - b);
  const target = random * nudge * candidates.reduce((sum, [, weight]) => sum + weight, 0);
  let below = 0;
  for (const [id, weight] of candidates) {
    below += weight;
    if (below > target) return id;
  }
  return candidates[candidates.length - 1][0];
}

test('follows the reference, which sorts everything and applies every definition literally', () => {
  const history = fc.array(tokenId, { maxLength: 12 });
  const scratch = new SamplingScratch(vocabularySize);
  fc.assert(
    fc.property(
      logitsOf24,
      anySettings,
      history,
      history,
      fc.nat(),
      (logits, settings, prompt, answer, position) => {
        const sampler = new Sampler(settings, prompt, scratch);
        for (const id of answer) sampler.observe(id);
        const id = sampler.sample(logits, position);
        const adjusted = adjust(logits, settings, prompt, answer);
        if (settings.temperature === 0) {
          expect(id).toBe(adjusted.indexOf(Math.max(...adjusted)));
          return;
        }
        const random = uniform(settings.seed, position);
        const expected = referenceDraw(adjusted, settings, random, 1 - 1e-9);
        // Where a billionth decides, the order of the additions may too.
        fc.pre(expected === referenceDraw(adjusted, settings, random, 1 + 1e-9));
        expect(id).toBe(expected);
      },
    ),
    { numRuns: 2000 },
  );
});

describe('draws', () => {
  const logits = Float32Array.of(2, 0, 1, -1, 1, 0.5, -3, 2.5);
  /** 99.9% quantiles of the chi-square distribution by degrees of freedom. */
  const limits: Record<number, number> = {
    1: 10.83,
    2: 13.82,
    3: 16.27,
    4: 18.47,
    5: 20.52,
    6: 22.46,
    7: 24.32,
  };

  test.each([
    ['the plain distribution', {}],
    ['temperature 2', { temperature: 2 }],
    ['temperature 0.5', { temperature: 0.5 }],
    ['top-k', { topK: 3 }],
    ['top-p', { topP: 0.8 }],
    ['min-p', { minP: 0.2 }],
    ['all of them', { temperature: 1.3, topK: 5, topP: 0.9, minP: 0.1 }],
  ])('have the probabilities of %s', (_, settings) => {
    const draws = 20_000;
    const counts = countDraws(settings, logits, draws);
    const candidates = referenceCandidates(logits, { ...neutral, ...settings });
    const mass = candidates.reduce((sum, [, weight]) => sum + weight, 0);
    const chiSquare = candidates.reduce((sum, [id, weight]) => {
      const expected = (weight / mass) * draws;
      return sum + (counts[id] - expected) ** 2 / expected;
    }, 0);
    expect(chiSquare).toBeLessThan(limits[candidates.length - 1]);
    expect(candidates.reduce((sum, [id]) => sum + counts[id], 0)).toBe(draws);
  });

  test('depend on seed and position, not on what was drawn before', () => {
    const sampler = samplerFor({}, logits.length);
    const forward = Array.from({ length: 40 }, (_, position) => sampler.sample(logits, position));
    const resumed = samplerFor({}, logits.length);
    const backward = Array.from({ length: 40 }, (_, i) => resumed.sample(logits, 39 - i)).reverse();
    expect(backward).toEqual(forward);
    const otherSeed = samplerFor({ seed: 8 }, logits.length);
    expect(Array.from({ length: 40 }, (_, position) => otherSeed.sample(logits, position))).not.toEqual(
      forward,
    );
  });

  test('of two sequences that share working memory do not touch each other', () => {
    const scratch = new SamplingScratch(logits.length);
    const settings = [
      { ...neutral, topP: 0.9, presencePenalty: 1 },
      { ...neutral, topK: 4, seed: 3, logitBias: [[6, 4]] as const },
    ];
    const together = settings.map((one) => new Sampler(one, [], scratch));
    const alone = settings.map((one) => new Sampler(one, [], new SamplingScratch(logits.length)));
    for (let position = 0; position < 50; position++) {
      together.forEach((sampler, i) => {
        const id = sampler.sample(logits, position);
        expect(id).toBe(alone[i].sample(logits, position));
        sampler.observe(id);
        alone[i].observe(id);
      });
    }
  });
});

test('leaves the logits as they are', () => {
  const logits = Float32Array.of(1, 2, 3, 4);
  const sampler = samplerFor({ logitBias: [[0, 5]], frequencyPenalty: 1, topP: 0.5, topK: 3 }, 4, [1]);
  sampler.observe(3);
  sampler.sample(logits, 0);
  expect([...logits]).toEqual([1, 2, 3, 4]);
});

describe('bias and penalties, by hand', () => {
  const pick = (
    settings: Partial<SamplingSettings>,
    logits: number[],
    history: { prompt?: number[]; answer?: number[] },
  ) => {
    const sampler = samplerFor({ ...greedy, ...settings }, logits.length, history.prompt);
    for (const id of history.answer ?? []) sampler.observe(id);
    return sampler.sample(Float32Array.from(logits), 0);
  };

  test('repetition divides positive and multiplies negative logits, in prompt and answer alike', () => {
    expect(pick({ repetitionPenalty: 2 }, [4, 2.1], { prompt: [0] })).toBe(1); // 2 < 2.1
    expect(pick({ repetitionPenalty: 2 }, [4, 1.9], { prompt: [0] })).toBe(0); // 2 > 1.9
    expect(pick({ repetitionPenalty: 2 }, [-1, -1.9], { answer: [0] })).toBe(1); // -2 < -1.9
    expect(pick({ repetitionPenalty: 2 }, [-1, -2.1], { answer: [0, 0] })).toBe(0); // once, however often seen
  });

  test('frequency counts the answer, and not the prompt', () => {
    expect(pick({ frequencyPenalty: 0.5 }, [3, 2], { answer: [0] })).toBe(0); // 2.5 > 2
    expect(pick({ frequencyPenalty: 0.5 }, [3, 2], { answer: [0, 0, 0] })).toBe(1); // 1.5 < 2
    expect(pick({ frequencyPenalty: 0.5 }, [3, 2], { prompt: [0, 0, 0] })).toBe(0);
    expect(pick({ frequencyPenalty: 0.5, repetitionPenalty: 1.1 }, [3, 2], { prompt: [0, 0, 0] })).toBe(0); // 2.73
  });

  test('presence counts once', () => {
    expect(pick({ presencePenalty: 0.6 }, [3, 2], { answer: [0, 0, 0] })).toBe(0); // 2.4 > 2
    expect(pick({ presencePenalty: 1.1 }, [3, 2], { answer: [0] })).toBe(1); // 1.9 < 2
    expect(pick({ presencePenalty: 1.1 }, [3, 2], { prompt: [0] })).toBe(0);
  });

  test('bias comes before the penalties', () => {
    // (-1 + 3) / 4 = 0.5; penalised first it would be -1 × 4 + 3 = -1.
    expect(pick({ logitBias: [[0, 3]], repetitionPenalty: 4 }, [-1, 0.4], { answer: [0] })).toBe(0);
    expect(pick({ logitBias: [[0, 3]], repetitionPenalty: 4 }, [-1, 0.6], { answer: [0] })).toBe(1);
  });

  test('bias moves a token to the front or out of reach', () => {
    expect(pick({ logitBias: [[1, 100]] }, [9, -50], {})).toBe(1);
    expect(pick({ logitBias: [[0, -100]] }, [9, -50], {})).toBe(1);
  });
});

describe('extremes', () => {
  test('greedy takes the lowest id among equals', () => {
    expect(samplerFor(greedy, 4).sample(Float32Array.of(1, 5, 5, 5), 3)).toBe(1);
  });

  test('the smallest temperatures neither overflow nor leave the best token', () => {
    for (const temperature of [1e-5, 1e-300, Number.MIN_VALUE]) {
      const counts = countDraws({ temperature, topP: 0.9 }, Float32Array.of(-3e38, 3e38, 2e38, -80), 50);
      expect(counts).toEqual([0, 50, 0, 0]);
    }
  });

  test('tokens at -Infinity are never drawn, however high the temperature', () => {
    const counts = countDraws({ temperature: 100 }, Float32Array.of(Number.NEGATIVE_INFINITY, 0, -1), 300);
    expect(counts[0]).toBe(0);
    expect(Math.min(counts[1], counts[2])).toBeGreaterThan(0);
  });

  test('top-k above the vocabulary keeps all', () => {
    expect(Math.min(...countDraws({ topK: 1000 }, new Float32Array(5), 200))).toBeGreaterThan(0);
  });

  test('equal logits: top-k keeps the lowest ids, and so does top-p', () => {
    expect(countDraws({ topK: 2 }, new Float32Array(5), 100).slice(2)).toEqual([0, 0, 0]);
    expect(countDraws({ topP: 0.4 }, new Float32Array(5), 100).slice(2)).toEqual([0, 0, 0]);
  });

  test.each([greedy, neutral])('logits that hold NaN, or nothing but -Infinity, are an error', (settings) => {
    const sampler = samplerFor(settings, 2);
    expect(() => sampler.sample(Float32Array.of(0, Number.NaN), 0)).toThrow(JanusError);
    expect(() => sampler.sample(new Float32Array(2).fill(Number.NEGATIVE_INFINITY), 0)).toThrow(JanusError);
  });
});

test('ids outside of the vocabulary are refused where they come in', () => {
  expect(() => samplerFor({ logitBias: [[4, 1]] }, 4)).toThrow(/logit_bias names token 4.*0 to 3/);
  expect(() => samplerFor({ repetitionPenalty: 1.1 }, 4, [-1])).toThrow(JanusError);
  expect(() => samplerFor({}, 4).observe(1.5)).toThrow(JanusError);
  expect(() => samplerFor({}, 4).sample(new Float32Array(5), 0)).toThrow(RangeError);
});
