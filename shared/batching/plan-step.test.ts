import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import {
  type DecodeTurn,
  MOST_DEFERRABLE_PROMPT_ROWS,
  MOST_DEFERRED_STEPS,
  planStep,
  type StepLimits,
  type StepSequence,
} from './plan-step.ts';

const sequencesWith = (pending: readonly number[]): StepSequence[] =>
  pending.map((pendingPromptTokens, arrival) => ({ arrival, pendingPromptTokens }));

function plan(pending: readonly number[], limits: StepLimits, turn: DecodeTurn = { nextArrival: 0 }) {
  const rows = new Int32Array(pending.length).fill(99);
  const total = planStep(sequencesWith(pending), limits, turn, rows);
  return { rows: [...rows], total };
}

const pendingList = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })), { maxLength: 24 });
const limits = fc.record({
  tokenBudget: fc.integer({ min: 1, max: 40 }),
  prefillBudget: fc.integer({ min: 1, max: 40 }),
});

/** Sequences by the number of their pending prompt tokens; with a star they are deferrable. */
function planStarred(sequences: readonly string[], turn: DecodeTurn = { nextArrival: 0 }): number[] {
  const rows = new Int32Array(sequences.length).fill(99);
  const parsed = sequences.map((text, arrival) => ({
    arrival,
    pendingPromptTokens: Number.parseInt(text, 10),
    isDeferrable: text.endsWith('*'),
  }));
  planStep(parsed, { tokenBudget: 64, prefillBudget: 8 }, turn, rows);
  return [...rows];
}

describe('deferrable sequences', () => {
  test('get nothing while somebody waits for a first token, whose prompt is then computed as fast as alone', () => {
    expect(planStarred(['0*', '20*', '40', '0*'])).toEqual([0, 0, 40, 0]);
    expect(planStarred(['0*', '40', '0'])).toEqual([0, 8, 1]);
  });

  test('go on beside sequences that only decode', () => {
    expect(planStarred(['0*', '20*', '0'])).toEqual([1, 8, 1]);
  });

  test('have no more than a small part of their prompts computed at once, also alone: somebody may come', () => {
    expect(planStarred(['40*', '40*'])).toEqual([8, 0]);
    const rows = new Int32Array(1);
    const long = [{ arrival: 0, pendingPromptTokens: 400, isDeferrable: true }];
    planStep(long, { tokenBudget: 512, prefillBudget: 256 }, { nextArrival: 0 }, rows);
    expect([...rows]).toEqual([MOST_DEFERRABLE_PROMPT_ROWS]);
  });

  test('get a step now and then under any load', () => {
    const turn = { nextArrival: 0 };
    const steps = Array.from({ length: 3 * (MOST_DEFERRED_STEPS + 1) }, () =>
      planStarred(['0*', '40'], turn),
    );
    const served = steps.flatMap(([deferrable], index) => (deferrable === 1 ? [index] : []));
    expect(served).toEqual([1, 2, 3].map((turns) => turns * (MOST_DEFERRED_STEPS + 1) - 1));
  });
});

describe('one step', () => {
  test('gives decoding sequences their row before any prompt, whatever the order of arrival', () => {
    expect(plan([50, 0, 7, 0], { tokenBudget: 80, prefillBudget: 53 })).toEqual({
      rows: [50, 1, 3, 1],
      total: 55,
    });
  });

  test('prefills in order of arrival while budget remains', () => {
    expect(plan([5, 12, 100], { tokenBudget: 20, prefillBudget: 3 }).rows).toEqual([5, 12, 3]);
  });

  test('has nothing to do without sequences', () => {
    expect(plan([], { tokenBudget: 4, prefillBudget: 4 })).toEqual({ rows: [], total: 0 });
  });

  test('uses the budgets as far as there is work, and never exceeds them or a prompt', () => {
    fc.assert(
      fc.property(
        pendingList,
        limits,
        fc.integer({ min: 0, max: 30 }),
        (pending, stepLimits, nextArrival) => {
          const { rows, total } = plan(pending, stepLimits, { nextArrival });
          const { tokenBudget, prefillBudget } = stepLimits;
          const decoding = pending.filter((tokens) => tokens === 0).length;
          const prompts = pending.reduce((sum, tokens) => sum + tokens, 0);
          const work = decoding + (decoding === 0 ? prompts : Math.min(prompts, prefillBudget));
          // One row may be kept back, see below.
          expect(total).toBeLessThanOrEqual(Math.min(tokenBudget, work));
          expect(total).toBeGreaterThanOrEqual(Math.min(tokenBudget, work) - 1);
          expect(rows.reduce((sum, count) => sum + count, 0)).toBe(total);
          const decoded = rows.filter((count, i) => pending[i] === 0 && count > 0).length;
          expect(decoded).toBe(Math.min(decoding, tokenBudget));
          rows.forEach((count, i) => {
            expect(count).toBeGreaterThanOrEqual(0);
            expect(count).toBeLessThanOrEqual(Math.max(1, pending[i]));
          });
        },
      ),
    );
  });

  test('a prompt that got less than it could take leaves nothing to those behind it', () => {
    fc.assert(
      fc.property(pendingList, limits, (pending, stepLimits) => {
        const { rows } = plan(pending, stepLimits);
        const short = rows.findIndex((count, i) => count < pending[i]);
        if (short < 0) return;
        expect(rows.filter((count, i) => i > short && pending[i] > 0 && count > 0)).toEqual([]);
      }),
    );
  });

  test('cuts no prompt so that one row is computed alone, where there is room for more', () => {
    expect(plan([129], { tokenBudget: 128, prefillBudget: 1 }).rows).toEqual([127]);
    expect(plan([7, 50], { tokenBudget: 8, prefillBudget: 1 }).rows).toEqual([7, 0]);
    fc.assert(
      fc.property(pendingList, limits, (pending, stepLimits) => {
        if (Math.min(stepLimits.tokenBudget, stepLimits.prefillBudget) < 3) return;
        const decoding = pending.filter((tokens) => tokens === 0).length;
        if (stepLimits.tokenBudget - decoding < 3) return;
        const { rows } = plan(pending, stepLimits);
        rows.forEach((count, i) => {
          if (pending[i] < 2 || count === pending[i]) return;
          expect(count).not.toBe(1);
          if (count > 0) expect(pending[i] - count).not.toBe(1);
        });
      }),
    );
  });

  test('leaves entries of `rows` behind the sequences alone', () => {
    const rows = new Int32Array([7, 7, 7]);
    planStep(sequencesWith([0]), { tokenBudget: 4, prefillBudget: 4 }, { nextArrival: 0 }, rows);
    expect([...rows]).toEqual([1, 7, 7]);
  });
});

describe('more decoding sequences than budget', () => {
  test('they take turns', () => {
    const turn = { nextArrival: 0 };
    const step = () => plan([0, 0, 0, 0, 0], { tokenBudget: 2, prefillBudget: 1 }, turn).rows;
    expect([step(), step(), step()]).toEqual([
      [1, 1, 0, 0, 0],
      [0, 0, 1, 1, 0],
      [1, 0, 0, 0, 1],
    ]);
  });

  test('the turn stays with the sequence, not with its place in the list, when another one ends', () => {
    const turn = { nextArrival: 0 };
    const running = sequencesWith([0, 0, 0]);
    const rows = new Int32Array(3);
    planStep(running, { tokenBudget: 1, prefillBudget: 1 }, turn, rows);
    planStep(running.slice(1), { tokenBudget: 1, prefillBudget: 1 }, turn, rows);
    expect([...rows.subarray(0, 2)]).toEqual([1, 0]);
    planStep(running.slice(1), { tokenBudget: 1, prefillBudget: 1 }, turn, rows);
    expect([...rows.subarray(0, 2)]).toEqual([0, 1]);
  });
});

/** A sequence of the simulation below: joins before a step, prefills its prompt, decodes its answer, leaves. */
const life = fc.record({
  joinsAtStep: fc.integer({ min: 0, max: 12 }),
  promptTokens: fc.integer({ min: 1, max: 30 }),
  answerTokens: fc.integer({ min: 1, max: 10 }),
});

test('over many steps every sequence finishes, and no decoding one waits longer than its turn takes', () => {
  fc.assert(
    fc.property(fc.array(life, { minLength: 1, maxLength: 12 }), limits, (lives, stepLimits) => {
      const turn = { nextArrival: 0 };
      const rows = new Int32Array(lives.length);
      const waiting = lives
        .toSorted((a, b) => a.joinsAtStep - b.joinsAtStep)
        .map((one, arrival) => ({
          ...one,
          arrival,
          pendingPromptTokens: one.promptTokens,
          toDecode: one.answerTokens,
          waited: 0,
          mayWait: Number.POSITIVE_INFINITY,
        }));
      let running: typeof waiting = [];
      const rowsOfAll = lives.reduce((sum, one) => sum + one.promptTokens + one.answerTokens, 0);
      let step = 0;
      while (running.length + waiting.length > 0) {
        expect(step).toBeLessThanOrEqual(12 + rowsOfAll);
        while (waiting.length > 0 && waiting[0].joinsAtStep <= step) running.push(waiting.shift()!);
        const decoding = running.filter((one) => one.pendingPromptTokens === 0);
        planStep(running, stepLimits, turn, rows);
        running.forEach((one, i) => {
          if (one.pendingPromptTokens > 0) {
            one.pendingPromptTokens -= rows[i];
          } else if (rows[i] === 1) {
            one.toDecode--;
            one.waited = 0;
            one.mayWait = Number.POSITIVE_INFINITY;
          } else {
            if (one.waited === 0) one.mayWait = Math.floor((decoding.length - 1) / stepLimits.tokenBudget);
            one.waited++;
            expect(one.waited).toBeLessThanOrEqual(one.mayWait);
          }
        });
        running = running.filter((one) => one.toDecode > 0);
        step++;
      }
    }),
  );
});

test('a limit below one is refused by name', () => {
  expect(() => plan([0], { tokenBudget: 0, prefillBudget: 4 })).toThrow(JanusError);
  expect(() => plan([0], { tokenBudget: 0, prefillBudget: 4 })).toThrow(/tokenBudget is 0/);
  expect(() => plan([0], { tokenBudget: 4, prefillBudget: Number.NaN })).toThrow(/prefillBudget is NaN/);
});

test('a `rows` array that is too short is refused', () => {
  const rows = new Int32Array(1);
  expect(() =>
    planStep(sequencesWith([0, 0]), { tokenBudget: 4, prefillBudget: 4 }, { nextArrival: 0 }, rows),
  ).toThrow(RangeError);
});
