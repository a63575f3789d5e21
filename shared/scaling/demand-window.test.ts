import { describe, expect, test } from 'vitest';
import { type DemandSample, lastAskedAtMs, plannedDemand } from './demand-window.ts';

const LIMITS = { shortMs: 10_000, longMs: 60_000, tokensPerSequence: 100 };
const sample = (atS: number, tokens: number, waiting = 0, context: number | null = 200): DemandSample => ({
  atMs: atS * 1_000,
  seconds: 1,
  tokens,
  waiting,
  context: tokens === 0 ? null : context,
});
const seconds = (from: number, to: number, tokens: number) =>
  Array.from({ length: to - from }, (_, index) => sample(from + index + 1, tokens));

describe('plannedDemand', () => {
  test('is that of a burst at once', () => {
    const samples = [...seconds(0, 50, 10), ...seconds(50, 60, 100)];
    expect(plannedDemand(samples, 60_000, LIMITS)).toEqual({
      tokensPerSecond: 100,
      context: 200,
      from: 'short',
      answer: { tokens: 100, variation: 1 },
    });
  });

  test('forgets a burst slowly', () => {
    const samples = [...seconds(0, 30, 100), ...seconds(30, 60, 10)];
    expect(plannedDemand(samples, 60_000, LIMITS)).toMatchObject({ tokensPerSecond: 55, from: 'long' });
  });

  test('counts what waits, which a deployment that is too small does not serve', () => {
    const samples = [...seconds(0, 59, 10), sample(60, 10, 8)];
    expect(plannedDemand(samples, 60_000, LIMITS)).toMatchObject({ tokensPerSecond: 10 + 80, from: 'short' });
  });

  test('takes waiting sequences for as long as answers of the long window were', () => {
    const answers = { answers: 40, tokens: 40 * 25, tokensSquared: 40 * 25 ** 2 };
    const samples = [{ ...sample(5, 0), answers }, ...seconds(5, 59, 10), sample(60, 10, 8)];
    const demand = plannedDemand(samples, 60_000, LIMITS)!;
    expect(demand).toMatchObject({ tokensPerSecond: 10 + 20, answer: { tokens: 25, variation: 0 } });
    expect(plannedDemand(samples, 66_000, LIMITS)!.answer).toEqual({ tokens: 100, variation: 1 });
  });

  test('is null where nothing was asked', () => {
    expect(plannedDemand([], 60_000, LIMITS)).toBeNull();
    expect(plannedDemand(seconds(0, 60, 0), 60_000, LIMITS)).toBeNull();
    expect(plannedDemand(seconds(0, 60, 10), 200_000, LIMITS)).toBeNull();
  });

  test('weighs contexts by the tokens made in them', () => {
    const samples = [sample(59, 30, 0, 100), sample(60, 10, 0, 500)];
    expect(plannedDemand(samples, 60_000, LIMITS)!.context).toBe(200);
  });
});

test('something is asked while tokens are made, sequences wait or hold a slot', () => {
  expect(lastAskedAtMs(seconds(0, 9, 0))).toBeNull();
  expect(lastAskedAtMs([...seconds(0, 3, 1), ...seconds(3, 9, 0)])).toBe(3_000);
  expect(lastAskedAtMs([sample(1, 0, 2), sample(2, 0)])).toBe(1_000);
  expect(lastAskedAtMs([{ ...sample(1, 0), context: 40 }, sample(2, 0)])).toBe(1_000);
});
