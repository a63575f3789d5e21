import { expect, it } from 'vitest';
import { parseProcessorTimes } from './machine-load.ts';

it('tells idle and stolen time apart in /proc/stat', () => {
  const stat = 'cpu  100 5 50 800 20 3 2 20 7 0\ncpu0 50 0 0 0 0 0 0 0 0 0\n';
  // Guest time, the ninth field, is part of user time already.
  expect(parseProcessorTimes(stat)).toEqual({ total: 1_000, idle: 820, steal: 20 });
});
