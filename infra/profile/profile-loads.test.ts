import { expect, it } from 'vitest';
import { profileLoads } from './profile-loads.ts';

it.each([
  [32, 512],
  [64, 40_960],
  [1, 64],
  [3, 200],
])(
  'loads of up to %i sequences fit a context of %i and tell batch from context',
  (sequences, contextLength) => {
    const loads = profileLoads(sequences, contextLength);
    const batches = new Set(loads.map((load) => load.sequences));
    expect([Math.min(...batches), Math.max(...batches)]).toEqual([1, sequences]);
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
