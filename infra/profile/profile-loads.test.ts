import { expect, it } from 'vitest';
import { profileLoads } from './profile-loads.ts';

it.each([
  [32, 1, 512],
  [64, 4, 40_960],
  [1, 1, 64],
  [3, 3, 200],
])(
  'loads of up to %i sequences keep %i instances busy, fit a context of %i and tell batch from context',
  (sequences, attention, contextLength) => {
    const loads = profileLoads(sequences, attention, contextLength);
    const batches = new Set(loads.map((load) => load.sequences));
    expect([Math.min(...batches), Math.max(...batches)]).toEqual([attention, sequences]);
    for (const { promptTokens, answerTokens } of loads) {
      expect(promptTokens).toBeGreaterThanOrEqual(1);
      expect(answerTokens).toBeGreaterThanOrEqual(1);
      expect(promptTokens + answerTokens).toBeLessThanOrEqual(contextLength);
    }
    const texts = loads.map((load) => JSON.stringify(load));
    expect(new Set(texts).size).toBe(texts.length);
    const prompts = new Set(loads.map((load) => load.promptTokens));
    expect(prompts.size).toBe(contextLength > 64 ? 2 : 1);
  },
);
