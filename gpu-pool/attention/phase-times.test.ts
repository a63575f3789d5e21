import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PHASES, type Phase, PhaseTimes } from './phase-times.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const totals = ({ totalsMs }: PhaseTimes): Partial<Record<Phase, number>> =>
  Object.fromEntries(PHASES.map((phase, i) => [phase, totalsMs[i]!] as const).filter(([, ms]) => ms > 0));

test('steps with work between them are one chain without gaps', () => {
  const times = new PhaseTimes();
  for (let step = 0; step < 3; step++) {
    vi.advanceTimersByTime(2);
    times.begin();
    vi.advanceTimersByTime(5);
    times.end('exchange');
    vi.advanceTimersByTime(3);
    times.end('publish');
  }
  expect(times.steps).toBe(3);
  expect(totals(times)).toEqual({ plan: 6, exchange: 15, publish: 9 });
});

test('time without work belongs to no phase', () => {
  const times = new PhaseTimes();
  vi.advanceTimersByTime(1_000);
  times.resume();
  vi.advanceTimersByTime(4);
  times.begin();
  expect(totals(times)).toEqual({ plan: 4 });
});
