import { expect, test } from 'vitest';
import { Pace } from './pace.ts';

const limits = { prefillBudget: 128 };
const sequence = (pendingPromptTokens: number, computed: number) => ({ pendingPromptTokens, computed });

/** Computes a step with so many prompt tokens, beside a sequence that decodes. */
function step(pace: Pace, promptRows: number, ms: number): void {
  const running = [sequence(0, 9), sequence(promptRows, 0)];
  pace.stepBegins(running, Int32Array.of(1, promptRows), 5_000);
  pace.stepEnds(5_000 + ms);
}
const recorded = (pace: Pace) => pace.record(limits, [], []);

test('tells nothing until a step was computed, and what the instance has to do', () => {
  const pace = new Pace(2);
  expect(recorded(pace)).toBeNull();
  step(pace, 4, 8);
  pace.generated();
  const running = [sequence(0, 30), sequence(5, 10)];
  expect(pace.record(limits, running, [{ promptIds: [1, 2, 3] }])).toEqual({
    stepMs: 0,
    promptTokenMs: 2,
    promptRowsPerStep: 128,
    promptTokens: 0,
    sequenceMs: null,
    pendingPromptTokens: 8,
    contextTokens: 40,
    generatedTokens: 1,
    ended: { answers: 0, tokens: 0, tokensSquared: 0 },
  });
});

test('tells what a step takes, and what a prompt token adds to it, as they were of late', () => {
  const pace = new Pace(2);
  for (let count = 0; count < 400; count++) step(pace, 0, count < 100 ? 500 : 10);
  for (let count = 0; count < 100; count++) step(pace, 50, 900);
  for (let count = 0; count < 300; count++) step(pace, 20, 10 + 20 * 3);
  const { stepMs, promptTokenMs } = recorded(pace)!;
  expect(stepMs).toBeGreaterThan(9.9);
  expect(stepMs).toBeLessThan(15);
  expect(promptTokenMs).toBeGreaterThan(2.9);
  expect(promptTokenMs).toBeLessThan(3.6);
});

test('remembers what prompts take over many steps without any', () => {
  const pace = new Pace(2);
  step(pace, 10, 20);
  for (let count = 0; count < 100_000; count++) step(pace, 0, 1);
  expect(recorded(pace)).toMatchObject({ promptTokenMs: 2 });
});

test('tells for how long sequences hold their slots, their prompts, and what answers ended', () => {
  const pace = new Pace(2);
  step(pace, 1, 1);
  pace.slotTaken(0, 1_000);
  pace.slotTaken(1, 1_200);
  pace.slotFreed({ slot: 1, promptTokens: 30, completionTokens: 4 }, 1_300);
  expect(recorded(pace)).toMatchObject({ sequenceMs: 100, promptTokens: 30 });
  pace.slotFreed({ slot: 0, promptTokens: 10, completionTokens: 6 }, 1_300);
  const { sequenceMs, promptTokens, ended } = recorded(pace)!;
  expect(sequenceMs).toBeCloseTo((0.95 * 100 + 300) / 1.95);
  expect(promptTokens).toBeCloseTo((0.95 * 30 + 10) / 1.95);
  expect(ended).toEqual({ answers: 2, tokens: 10, tokensSquared: 16 + 36 });
});
