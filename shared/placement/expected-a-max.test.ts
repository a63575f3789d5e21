import { expect, test } from 'vitest';
import { estimateActivation } from './expected-a-max.ts';
import { ActivationTrace } from './trace.ts';

const SHAPE = { layers: 2, experts: 4, expertsPerToken: 2 };
const TOGETHER = {
  instances: 2,
  capacity: 2,
  slots: [
    [0, 1],
    [2, 3],
  ],
};
const APART = {
  instances: 2,
  capacity: 2,
  slots: [
    [0, 2],
    [1, 3],
  ],
};

/** Every token of layer 0 goes to experts 0 and 1; layer 1 has seen nothing unless told otherwise. */
function traceOf(layers: readonly number[] = [0]): ActivationTrace {
  const trace = new ActivationTrace(SHAPE, 4);
  for (const layer of layers) trace.record(layer, [0, 1], 1);
  return trace;
}

test('a_max and loads are what AEBS gives for the routing of the trace', () => {
  const together = estimateActivation([TOGETHER, TOGETHER], traceOf(), 3, 10, 1);
  expect(together).toMatchObject({ tokens: 3, meanAMax: 2, meanActivated: 2 });
  expect([...together.meanLoads]).toEqual([2, 0]);
  const apart = estimateActivation([APART, APART], traceOf(), 3, 10, 1);
  expect(apart).toMatchObject({ meanAMax: 1, meanActivated: 2 });
  expect([...apart.meanLoads]).toEqual([1, 1]);
});

test('layers count alike, and those without rows not at all', () => {
  expect(estimateActivation([TOGETHER, APART], traceOf([0, 1]), 1, 10, 1).meanAMax).toBe(1.5);
  expect(estimateActivation([TOGETHER, APART], traceOf([1]), 1, 10, 1).meanAMax).toBe(1);
});
