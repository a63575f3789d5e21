import { expect, it } from 'vitest';
import { allTokens, atMostOverDay, attainmentOf, shareInTime } from './attainment.ts';

const TARGETS = { ttftMs: 100, tpotMs: 20 };

it('first tokens count by TTFT, later ones by the time since the one before, and what never came counts as late', () => {
  const answers = [
    { sentAtMs: 0, readAtMs: [100, 120, 141], askedTokens: 3, failed: false },
    { sentAtMs: 50, readAtMs: [151, 160], askedTokens: 4, failed: true },
    { sentAtMs: 60, readAtMs: [], askedTokens: 2, failed: true },
  ];
  const attainment = attainmentOf(answers, TARGETS);
  expect(attainment).toEqual({ first: { asked: 3, inTime: 1 }, later: { asked: 6, inTime: 2 } });
  expect(shareInTime(allTokens(attainment))).toBeCloseTo(3 / 9, 12);
  expect(atMostOverDay(attainment.first, { asked: 100, inTime: 0 })).toBeCloseTo(0.98, 12);
});
