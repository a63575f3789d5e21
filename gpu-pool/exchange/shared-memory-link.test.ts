import { expect, test } from 'vitest';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import {
  EXPERTS,
  fillStep,
  HOST,
  harnessPlacement,
  LAYERS,
  referenceOutput,
  SHAPE,
} from '../../test/support/exchange/link-harness.ts';
import { computeTestExpert } from '../../test/support/exchange/test-expert.ts';
import { allocateStep } from './exchange.ts';
import { allocateSharedExchange, openHostMemory, openLane } from './lane-memory.ts';
import { type Assistant, SharedMemoryLink } from './shared-memory-link.ts';

/** Of an expert that takes its time. */
const GROUP_MS = 0.2;
const SLOW: Assistant = {
  computes: () => true,
  run: (layer, expert, input, rows, output) => {
    const untilMs = performance.now() + GROUP_MS;
    while (performance.now() < untilMs);
    computeTestExpert(layer, expert, input, rows, output);
  },
};

/** A link to an instance that is there but never takes a group: whatever is computed, the sender computes. */
function openAssistedLink(assistant: Assistant): SharedMemoryLink {
  const placement = harnessPlacement(1);
  const laneOptions = { shape: SHAPE, instances: 1, placedInstances: 1, experts: EXPERTS };
  const shared = allocateSharedExchange(HOST, 0, laneOptions, 1);
  const memory = openHostMemory(shared);
  memory.setAlive(0, true);
  const lane = openLane(shared, 0);
  return new SharedMemoryLink({
    host: HOST,
    memory,
    lane,
    placement,
    wait: 'block',
    overdueAfterMs: 1_000,
    assistant,
  });
}

test('counts the groups that the sender computes, and tells the parts of its round trips apart', async () => {
  const link = openAssistedLink(SLOW);
  const { statistics } = link;
  const random = seededRandom(11);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  let groups = 0;
  for (let rows = 1; rows <= SHAPE.maxRows; rows++) {
    const step = allocateStep(SHAPE);
    fillStep(step, SHAPE, EXPERTS, rows, random);
    step.layer = rows % LAYERS;
    step.placementVersion = harnessPlacement(1).version;
    await link.exchange(step, output);
    expect(output.slice(0, rows * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
    groups += new Set(step.expertIds.subarray(0, rows * SHAPE.expertsPerToken)).size;
  }
  const { totalScheduleUs, totalAssistUs, totalCombineUs, totalRoundTripUs } = statistics;
  expect(statistics.assistedGroups).toBe(groups);
  expect(totalAssistUs).toBeGreaterThan(1_000 * GROUP_MS * groups);
  expect(totalScheduleUs).toBeGreaterThan(0);
  expect(totalScheduleUs + totalAssistUs + totalCombineUs).toBeLessThan(totalRoundTripUs);
});
