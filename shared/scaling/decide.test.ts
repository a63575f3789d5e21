import { describe, expect, test } from 'vitest';
import { decide, type ScalerState, type ScalingLimits, type ScalingSituation } from './decide.ts';
import type { PoolSizes, SolvedSize } from './solver.ts';

const LIMITS: ScalingLimits = {
  headroom: 1.2,
  downHeadroom: 1.5,
  downCooldownMs: 60_000,
  downAfterMs: 30_000,
  changeLimitMs: 100_000,
  idleMs: 300_000,
  floor: { attention: 0, experts: 1 },
};
const TPOT = { attentionMs: 1, expertsMs: 1, linkMs: 1, stepMs: 1, totalMs: 4 };
const size = (attention: number, experts: number): SolvedSize => ({
  attention,
  experts,
  batch: 1,
  aMax: 1,
  tpot: TPOT,
});

/** One attention and one expert instance serve ten tokens per second each. */
function situation(
  tokensPerSecond: number | null,
  nowMs: number,
  state: ScalerState,
  ready: PoolSizes = state.wanted,
): ScalingSituation {
  return {
    nowMs,
    state,
    ready,
    demand:
      tokensPerSecond === null
        ? null
        : { tokensPerSecond, context: 100, from: 'short', answer: { tokens: 50, variation: 0.5 } },
    askedAtMs: tokensPerSecond === null ? null : nowMs,
    solve(headroom) {
      const count = Math.ceil(((tokensPerSecond ?? 0) * headroom) / 10);
      return { best: size(count, count), nearest: size(count, count), candidates: 1, stable: 1 };
    },
    most: { attention: 6, experts: 7 },
  };
}

const stateOf = (attention: number, experts: number): ScalerState => ({
  wanted: { attention, experts },
  changedAtMs: 0,
  smallerSinceMs: null,
  askedAtMs: 0,
});

describe('decide', () => {
  test('scales up at once, and says from what to what and why', () => {
    const decision = decide(situation(30, 1_000, stateOf(1, 1)), LIMITS);
    expect(decision.action).toBe('up');
    expect(decision.state).toMatchObject({ wanted: { attention: 4, experts: 4 }, changedAtMs: 1_000 });
    expect(decision.reason).toMatch(/30\.0 tokens\/s.*20% headroom.*4A4E.*up from 1A1E to 4A4E/);
  });

  test('makes one change at a time, but does not wait for ever for one that hangs', () => {
    const state = { ...stateOf(2, 2), changedAtMs: 1_000 };
    const waiting = decide(situation(90, 50_000, state, { attention: 1, experts: 2 }), LIMITS);
    expect(waiting).toMatchObject({ action: 'stay', state: { wanted: { attention: 2, experts: 2 } } });
    expect(waiting.reason).toMatch(/1A2E serve, 2A2E are wanted since 49 s/);
    expect(decide(situation(90, 101_001, state, { attention: 1, experts: 2 }), LIMITS).action).toBe('up');
  });

  test('scales down only after a smaller size was enough with margin for a while, without a break', () => {
    let { state } = decide(situation(10, 100_000, stateOf(4, 4)), LIMITS);
    expect(state.smallerSinceMs).toBe(100_000);
    // A burst in between, which 4A4E serves, starts the wait anew.
    ({ state } = decide(situation(33, 110_000, state), LIMITS));
    expect(state.smallerSinceMs).toBeNull();
    ({ state } = decide(situation(10, 115_000, state), LIMITS));
    expect(decide(situation(10, 144_999, state), LIMITS).action).toBe('stay');
    const down = decide(situation(10, 145_000, state), LIMITS);
    expect(down).toMatchObject({ action: 'down', state: { wanted: { attention: 2, experts: 2 } } });
    expect(down.reason).toMatch(/has been enough for 30 s: down from 4A4E to 2A2E/);
  });

  test('does not scale down soon after another change', () => {
    const state = { ...stateOf(4, 4), changedAtMs: 90_000, smallerSinceMs: 100_000 };
    expect(decide(situation(10, 149_999, state), LIMITS).action).toBe('stay');
    expect(decide(situation(10, 150_000, state), LIMITS).action).toBe('down');
  });

  test('does not swing: a demand that goes up and down by a quarter changes nothing once it is served', () => {
    let state = decide(situation(30, 0, stateOf(1, 1)), LIMITS).state;
    const changes: string[] = [];
    for (let nowMs = 1_000; nowMs < 3_600_000; nowMs += 1_000) {
      const decision = decide(
        situation(30 * (1 - 0.25 * ((nowMs / 20_000) % 2 < 1 ? 1 : 0)), nowMs, state),
        LIMITS,
      );
      if (decision.action !== 'stay') changes.push(decision.reason);
      ({ state } = decision);
    }
    expect(changes).toEqual([]);
  });

  test('an idle model gives up all but its floor, and comes back with the first demand', () => {
    const state = { ...stateOf(3, 4), askedAtMs: 1_000 };
    expect(decide(situation(null, 300_999, state), LIMITS).action).toBe('stay');
    const down = decide(situation(null, 301_000, state), LIMITS);
    expect(down).toMatchObject({ action: 'down', state: { wanted: { attention: 0, experts: 1 } } });
    expect(decide(situation(null, 400_000, down.state), LIMITS)).toMatchObject({ action: 'stay' });
    expect(decide(situation(5, 500_000, down.state), LIMITS)).toMatchObject({
      action: 'up',
      state: { wanted: { attention: 1, experts: 1 }, askedAtMs: 500_000 },
    });
  });

  test('a model is idle when nothing was asked for the idle time, however long windows remember', () => {
    const state = stateOf(2, 2);
    const remembered = { ...situation(5, 310_000, state), askedAtMs: 10_001 };
    const limits = { ...LIMITS, downCooldownMs: 1e9, floor: { attention: 0, experts: 0 } };
    expect(decide(remembered, limits).action).toBe('stay');
    const down = decide({ ...remembered, askedAtMs: 10_000 }, limits);
    expect(down).toMatchObject({ action: 'down', state: { wanted: limits.floor } });
    const still = { ...situation(5, 311_000, down.state), askedAtMs: 10_000 };
    expect(decide(still, limits)).toMatchObject({ action: 'stay', state: { wanted: limits.floor } });
  });

  test('takes the nearest size where none meets the target', () => {
    const none = {
      ...situation(50, 1_000, stateOf(1, 1)),
      solve: () => ({ best: null, nearest: size(2, 5), candidates: 9, stable: 1 }),
    };
    const decision = decide(none, LIMITS);
    expect(decision).toMatchObject({ action: 'up', state: { wanted: { attention: 2, experts: 5 } } });
    expect(decision.reason).toContain('no size meets the target');
  });

  test('takes the largest allowed size where none keeps up', () => {
    const solveNone = () => ({ best: null, nearest: null, candidates: 9, stable: 0 });
    const none = { ...situation(900, 1_000, stateOf(1, 1)), solve: solveNone };
    const decision = decide(none, LIMITS);
    expect(decision).toMatchObject({ action: 'up', state: { wanted: { attention: 6, experts: 7 } } });
    expect(decision.reason).toContain('no allowed size keeps up');
    const there = { ...situation(900, 1_000, stateOf(6, 7)), solve: solveNone };
    expect(decide(there, LIMITS)).toMatchObject({
      action: 'stay',
      reason: expect.stringContaining('6A7E is the largest'),
    });
  });
});
