import { describe, expect, test } from 'vitest';
import { seededRandom } from '../placement/seeded-random.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from '../placement/trace-generator.ts';
import { aMaxTable, lookUpAMax } from './a-max-table.ts';
import type { PerformanceModel } from './performance-model.ts';
import { leastHoldingExperts, type SolverProblem, solve, solveSize } from './solver.ts';

const MODEL: PerformanceModel = {
  layers: 32,
  expertsPerToken: SKEWED_PROFILE.expertsPerToken,
  attention: { floorMs: 0.2, perRowMs: 0.004, perContextTokenMs: 0.000_02 },
  experts: { fixedMs: 0.05, perActivatedMs: 0.1, perRowMs: 0.000_5 },
  link: { fixedMs: 0.08, perRowMs: 0.000_1 },
  step: { fixedMs: 1, perRowMs: 0.01 },
  attentionVariation: 0.05,
};

const trace = generateTrace(new RoutingGenerator({ ...SKEWED_PROFILE, layers: 2 }, seededRandom(1)), 32);
const { experts } = SKEWED_PROFILE;
const table = aMaxTable({ trace, capacity: 12, mostInstances: 64, mostBatch: 1_024, seed: 1 });
const bounds = {
  leastAttention: 1,
  mostAttention: 64,
  leastExperts: 1,
  mostExperts: 64,
  sequencesPerAttention: 64,
};
const problem = (tokensPerSecond: number, tpotMs: number): SolverProblem => ({
  model: MODEL,
  table,
  demand: { tokensPerSecond, context: 500 },
  tpotMs,
  bounds,
});

describe('the a_max table', () => {
  test('falls with instances, rises with the batch, and ends at all experts of an instance', () => {
    for (const [row, values] of table.values.entries()) {
      for (let column = 1; column < values.length; column += 1) {
        expect(values[column]).toBeGreaterThanOrEqual(values[column - 1]!);
      }
      expect(values[0]).toBeGreaterThanOrEqual(1);
      const instances = table.instances[row]!;
      expect(values.at(-1)).toBeGreaterThanOrEqual(0.8 * Math.floor(experts / instances));
      expect(values.at(-1)).toBeLessThanOrEqual(12);
    }
    const last = table.values.map((values) => values.at(-1)!);
    expect(last.at(-1)).toBeLessThan(last[0]! / 2);
  });

  test('lies between its neighbours for a batch between', () => {
    const [first] = table.instances;
    const between = lookUpAMax(table, first!, 24);
    expect(between).toBeGreaterThan(lookUpAMax(table, first!, 16));
    expect(between).toBeLessThan(lookUpAMax(table, first!, 32));
  });

  test('is the same for the same seed, and names what is too few', () => {
    const options = { trace, capacity: 40, mostInstances: 5, mostBatch: 8, seed: 7 };
    expect(aMaxTable(options)).toEqual(aMaxTable(options));
    expect(() => aMaxTable({ ...options, capacity: 10 })).toThrow(
      /160 experts need 16 instances of 10 slots/,
    );
  });
});

describe('solve', () => {
  test('finds the fewest instances that meet the target', () => {
    const wanted = problem(2_000, 40);
    const { best } = solve(wanted);
    expect(best!.tpot.totalMs).toBeLessThanOrEqual(40);
    expect(best!.batch).toBeCloseTo((2_000 * best!.tpot.totalMs) / 1_000, 1);
    for (let attention = 1; attention <= 64; attention += 1) {
      for (let count = table.instances[0]!; count <= 64; count += 1) {
        if (attention + count >= best!.attention + best!.experts) continue;
        const smaller = solveSize(wanted, { attention, experts: count });
        expect(smaller === null || smaller.tpot.totalMs > 40).toBe(true);
      }
    }
  });

  test('wants more for more demand and for a tighter target', () => {
    const total = (tokensPerSecond: number, tpotMs: number) => {
      const { best } = solve(problem(tokensPerSecond, tpotMs));
      return best!.attention + best!.experts;
    };
    expect(total(8_000, 60)).toBeGreaterThan(total(1_000, 60));
    expect(total(2_000, 25)).toBeGreaterThan(total(2_000, 60));
  });

  test('tells the nearest size where none meets the target, and none where none keeps up', () => {
    const tight = solve(problem(1_000, 1));
    expect(tight.best).toBeNull();
    expect(tight.nearest!.tpot.totalMs).toBeGreaterThan(1);
    expect(solve(problem(1e9, 50))).toMatchObject({ best: null, nearest: null, stable: 0 });
  });

  test('wants as many instances as hold the sequences, and all experts', () => {
    const { best } = solve(problem(2_000, 40));
    const few = { ...bounds, sequencesPerAttention: 4 };
    const bounded = solve({ ...problem(2_000, 40), bounds: few }).best!;
    expect(bounded.attention).toBeGreaterThan(best!.attention);
    expect(bounded.attention).toBeGreaterThanOrEqual(Math.ceil(bounded.batch / 4));
    const smaller = solveSize(
      { ...problem(2_000, 40), bounds: few },
      { attention: Math.floor(bounded.batch / 4), experts: bounded.experts },
    );
    expect(smaller).toBeNull();
    const shallow = solve({ ...problem(50, 1_000), bounds: { ...bounds, expertSlotsPerInstance: 5 } }).best!;
    expect(shallow.experts).toBe(experts / 5);
    const { batches, instances, values } = table;
    expect(leastHoldingExperts({ batches, instances, values }, 5)).toBe(table.instances[0]);
  });

  test('keeps so many slots free that first tokens are in time', () => {
    const few = { ...bounds, sequencesPerAttention: 4 };
    const within = (ttftMs: number) => {
      const firstToken = { ttftMs, tokensPerSequence: 32 };
      return solve({ ...problem(100, 40), firstToken, bounds: few });
    };
    const unbound = solve({ ...problem(100, 40), bounds: few }).best!;
    const [patient, hurried] = [within(20_000).best!, within(200).best!];
    expect(patient.attention).toBe(unbound.attention);
    expect(hurried.attention).toBeGreaterThan(unbound.attention);
    // Where no size has them in time, the nearest is not the smallest one.
    const none = solve({
      ...problem(100, 40),
      firstToken: { ttftMs: 1, tokensPerSequence: 32 },
      bounds: { ...few, mostAttention: hurried.attention - 1 },
    });
    expect(none).toMatchObject({ best: null, nearest: { attention: hurried.attention - 1 } });
  });

  test('looks at 64 × 64 sizes within 50 ms', () => {
    solve(problem(2_000, 40));
    const times = Array.from({ length: 5 }, () => {
      const startedMs = performance.now();
      const { candidates } = solve(problem(2_000, 40));
      expect(candidates).toBe(64 * (64 - table.instances[0]! + 1));
      return performance.now() - startedMs;
    });
    expect(Math.min(...times)).toBeLessThan(50);
  });
});
