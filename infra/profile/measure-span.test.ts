import { expect, it } from 'vitest';
import type { HostRecord } from '../../shared/protocol/member.ts';
import { hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { measureSpan } from './measure-span.ts';

const SHAPE = { layers: 2, expertInstances: 2, sequences: 8, promptTokens: 40, context: 100 };

/** One attention host and one with two expert instances after so many steps of 4 rows, each of which takes 7 ms. */
function hostsAfter(steps: number): HostRecord[] {
  const attention = hostRecord('m', 'a', 'ready');
  const experts = hostRecord('m', 'e', 'ready');
  const pace = {
    stepMs: 1,
    promptTokenMs: 1,
    promptRowsPerStep: 1,
    promptTokens: 1,
    sequenceMs: 1,
    pendingPromptTokens: 0,
    contextTokens: 0,
    generatedTokens: 4 * steps,
  };
  const phasesMs = {
    pre: steps,
    attend: steps,
    post: steps,
    exchange: 3 * steps,
    head: steps / 2,
    sample: steps / 2,
    store: 99,
  };
  return [
    {
      ...attention,
      experts: [],
      attention: attention.attention.map((instance) => ({ ...instance, steps, phasesMs, pace })),
      exchange: { layerSteps: 2 * steps, meanAMax: 5, regimes: [] },
    },
    {
      ...experts,
      attention: [],
      experts: [0, 1].map((id) => ({
        ...experts.experts[0]!,
        id,
        layerSteps: 2 * steps,
        meanActivated: 4 + id,
        groupsMs: (1 + id) * steps,
      })),
    },
  ];
}

it('tells what the steps between two moments took, and what was in them', () => {
  const measured = measureSpan({ before: hostsAfter(10), after: hostsAfter(30) }, SHAPE);
  expect(measured).toEqual({
    attention: 1,
    experts: 2,
    // 80 tokens and 40 prompt tokens in 20 steps.
    batch: 6,
    context: 100,
    aMax: 5,
    attentionMs: 1.5,
    exchangeMs: 1.5,
    // 60 ms in 40 layer steps on two instances.
    expertsMs: 0.75,
    activated: 4.5,
    stepMs: 1,
    totalMs: 7,
  });
});

it('tells nothing where nothing happened, and counts no instance that was not there before', () => {
  expect(measureSpan({ before: hostsAfter(10), after: hostsAfter(10) }, SHAPE)).toBeNull();
  expect(measureSpan({ before: [], after: hostsAfter(10) }, SHAPE)).toBeNull();
});
