import { expect, test } from 'vitest';
import { contendedCycle } from './contended-cycle.ts';

/** The same by playing it: services and thinking take as long as they take, and whoever came first is served first. */
function played(customers: number, thinkMs: number, serveMs: number): number {
  const rounds = 2_000;
  const readyAtMs = Array.from({ length: customers }, (_, i) => (i * thinkMs) / customers);
  let freeAtMs = 0;
  for (let service = 0; service < rounds * customers; service += 1) {
    const next = readyAtMs.indexOf(Math.min(...readyAtMs));
    freeAtMs = Math.max(freeAtMs, readyAtMs[next]!) + serveMs;
    readyAtMs[next] = freeAtMs + thinkMs;
  }
  return freeAtMs / rounds;
}

test('one customer never waits, and many wait for the server alone', () => {
  expect(contendedCycle(1, 3, 2)).toBe(5);
  expect(contendedCycle(40, 3, 2)).toBeCloseTo(80, 9);
  expect(contendedCycle(4, 3, 0)).toBe(3);
});

test.each([
  [2, 3, 1],
  [2, 1, 1],
  [3, 2, 1],
  [4, 5, 2],
  [6, 10, 1],
])(
  '%i customers that think for %i ms and are served for %i ms go round about as fast as when it is played',
  (customers, thinkMs, serveMs) => {
    const real = played(customers, thinkMs, serveMs);
    const predicted = contendedCycle(customers, thinkMs, serveMs);
    // Real layer steps vary, so waiting for each other is expected where a game without chance has none.
    expect(predicted).toBeGreaterThanOrEqual(0.999 * real);
    expect(predicted).toBeLessThan(1.35 * real);
  },
);
