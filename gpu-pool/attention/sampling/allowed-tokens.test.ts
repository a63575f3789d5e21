import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GREEDY } from '../../../test/support/generate.ts';
import { type AllowedTokens, allowToken, copyAllowed, wordsFor } from './allowed-tokens.ts';
import { Sampler, SamplingScratch } from './sampler.ts';

const VOCABULARY = 77;

/** Tokens allowed by bit, and ids allowed besides. */
const choices = fc.record({
  ids: fc.uniqueArray(fc.nat(VOCABULARY - 1), { maxLength: VOCABULARY }),
  endIds: fc.uniqueArray(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 2 }),
});
const logitsArbitrary = fc
  .array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: VOCABULARY, maxLength: VOCABULARY })
  .map((values) => Float32Array.from(values));

function allowed(ids: readonly number[], endIds: readonly number[] = []): AllowedTokens {
  const words = new Uint32Array(wordsFor(VOCABULARY));
  for (const id of ids) allowToken(words, id);
  return { words, endIds };
}

test('copies exactly the allowed logits', () => {
  fc.assert(
    fc.property(logitsArbitrary, choices, (logits, { ids, endIds }) => {
      const out = new Float32Array(VOCABULARY);
      copyAllowed(logits, allowed(ids, endIds), out);
      const expected = logits.map((logit, id) =>
        ids.includes(id) || endIds.includes(id) ? logit : Number.NEGATIVE_INFINITY,
      );
      expect(out).toEqual(expected);
    }),
  );
});

test('no setting and no bias brings a token back that is not allowed', () => {
  const scratch = new SamplingScratch(VOCABULARY);
  const settings = fc
    .record({
      temperature: fc.constantFrom(0, 0.3, 1, 2),
      topP: fc.constantFrom(1, 0.5),
      topK: fc.constantFrom(0, 3, 70),
      minP: fc.constantFrom(0, 0.1),
      repetitionPenalty: fc.constantFrom(1, 2, 0.5),
      presencePenalty: fc.constantFrom(0, -2),
      seed: fc.nat(),
      logitBias: fc.array(fc.tuple(fc.nat(VOCABULARY - 1), fc.constantFrom(100, -100)), { maxLength: 3 }),
    })
    .map((own) => ({ ...GREEDY, ...own }));
  fc.assert(
    fc.property(logitsArbitrary, choices, settings, (logits, { ids, endIds }, sampling) => {
      const sampler = new Sampler(sampling, [1, 2, 3], scratch);
      const copy = logits.slice();
      for (let position = 0; position < 5; position++) {
        const id = sampler.sample(logits, position, allowed(ids, endIds));
        expect(ids.includes(id) || endIds.includes(id)).toBe(true);
        sampler.observe(id);
      }
      expect(logits).toEqual(copy);
    }),
    { numRuns: 500 },
  );
});

test('where all is allowed, the draw is that without a constraint', () => {
  const scratch = new SamplingScratch(VOCABULARY);
  const all = allowed(Array.from({ length: VOCABULARY }, (_, id) => id));
  fc.assert(
    fc.property(
      logitsArbitrary,
      fc.constantFrom(0, 1),
      fc.constantFrom(1, 0.8),
      (logits, temperature, topP) => {
        const sampler = new Sampler({ ...GREEDY, temperature, topP }, [], scratch);
        for (let position = 0; position < 5; position++) {
          expect(sampler.sample(logits, position, all)).toBe(sampler.sample(logits, position));
        }
      },
    ),
  );
});
