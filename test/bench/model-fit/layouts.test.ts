import { expect, it } from 'vitest';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { drawCases, KINDS } from './layouts.ts';

it('draws as many cases of each kind, the same each time, all of which the shipped model holds', () => {
  const cases = drawCases(10, seededRandom(1));
  expect(drawCases(10, seededRandom(1))).toEqual(cases);
  for (const kind of KINDS) expect(cases.filter((each) => each.kind === kind)).toHaveLength(10);
  for (const { attention, sequences, promptTokens, answerTokens } of cases) {
    expect(sequences).toBeLessThanOrEqual(16 * attention);
    expect(promptTokens + answerTokens).toBeLessThanOrEqual(512);
  }
  expect(new Set(cases.map(({ attention, experts }) => `${attention}A${experts}E`)).size).toBeGreaterThan(4);
});
