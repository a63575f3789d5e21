import { expect, it } from 'vitest';
import { atFirstSpeed } from './reference.ts';

it('takes what a slower machine added out of all times of a load, and out of nothing else', () => {
  const load = {
    ...{ attention: 1, experts: 2, batch: 8, context: 100, aMax: 7, activated: 6 },
    ...{ attentionMs: 1, exchangeMs: 2, expertsMs: 1.5, stepMs: 0.5, totalMs: 20, busyProcessors: 1.5 },
  };
  expect(atFirstSpeed(load, 1.25)).toEqual({
    ...load,
    ...{ attentionMs: 0.8, exchangeMs: 1.6, expertsMs: 1.2, stepMs: 0.4, totalMs: 16 },
  });
});
