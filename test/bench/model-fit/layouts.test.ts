import { expect, it } from 'vitest';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { drawCases, KINDS } from './layouts.ts';

it('draws as many cases of each kind, the same each time, all of which the instances hold', () => {
  const cases = drawCases(10, 16, seededRandom(1));
  expect(drawCases(10, 16, seededRandom(1))).toEqual(cases);
  for (const kind of KINDS) expect(cases.filter((each) => each.kind === kind)).toHaveLength(10);
  for (const { attention, sequences, promptTokens, answerTokens } of cases) {
    expect(sequences).toBeGreaterThanOrEqual(attention);
    expect(sequences).toBeLessThanOrEqual(Math.min(32, 16 * attention));
    const context = promptTokens + answerTokens / 2;
    expect(context).toBeGreaterThanOrEqual(16);
    expect(context).toBeLessThanOrEqual(256);
  }
  const layouts = cases.map(({ kind, attention, experts }) => `${kind} ${attention}A${experts}E`);
  expect(new Set(layouts).size).toBeGreaterThan(12);
});
