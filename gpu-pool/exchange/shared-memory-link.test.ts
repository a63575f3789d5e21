import { expect, test } from 'vitest';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
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
import type { HostMemory } from './host-memory.ts';
import { allocateSharedExchange, openHostMemory, openLane } from './lane-memory.ts';
import { AnswerOverdueError, StalePlacementError } from './link.ts';
import { type Assistant, SharedMemoryLink } from './shared-memory-link.ts';

/** Of an expert that takes its time. */
const GROUP_MS = 0.2;
const OVERDUE_AFTER_MS = 1_000;
const SLOW: Assistant = {
  computes: () => true,
  run: (layer, expert, input, rows, output) => {
    const untilMs = performance.now() + GROUP_MS;
    while (performance.now() < untilMs);
    computeTestExpert(layer, expert, input, rows, output);
  },
};

/** A link to an instance that is there but never takes a group: whatever is computed, the sender computes. */
function openAssistedLink(
  assistant: Assistant,
  wakes = true,
): { link: SharedMemoryLink; memory: HostMemory } {
  const placement = harnessPlacement(1);
  const laneOptions = { shape: SHAPE, instances: 1, placedInstances: 1, experts: EXPERTS };
  const shared = allocateSharedExchange(HOST, 0, laneOptions, 1);
  const memory = openHostMemory(shared);
  memory.setAlive(0, true);
  const lane = openLane(shared, 0);
  const link = new SharedMemoryLink({
    host: HOST,
    memory,
    lane,
    placement,
    wait: 'block',
    overdueAfterMs: OVERDUE_AFTER_MS,
    assistant,
    wakes,
  });
  return { link, memory };
}

function randomStep(rows: number, seed: number): LayerStep {
  const step = allocateStep(SHAPE);
  fillStep(step, SHAPE, EXPERTS, rows, seededRandom(seed));
  step.placementVersion = harnessPlacement(1).version;
  return step;
}

test('counts the groups that the sender computes, and tells the parts of its round trips apart', async () => {
  const { link } = openAssistedLink(SLOW);
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

test.each([
  [true, 1],
  [false, 0],
])('where it wakes others is %s, rings %i times for what the sender computes', async (wakes, rings) => {
  const { link, memory } = openAssistedLink(SLOW, wakes);
  const step = randomStep(3, 12);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await link.exchange(step, output);
  expect(output.slice(0, 3 * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
  expect(memory.rings(0)).toBe(rings);
});

test('takes steps of every placement that it serves, each by its own schedule, and of no other', async () => {
  const { link, memory } = openAssistedLink(SLOW);
  const first = harnessPlacement(1);
  const next = harnessPlacement(1, first.version + 2);
  link.serve([next, first]);
  memory.serveVersions(first.version, next.version);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  for (const { version } of [first, next, first]) {
    const step = Object.assign(randomStep(3, version), { placementVersion: version });
    await link.exchange(step, output);
    expect(output.slice(0, 3 * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
  }
  const between = Object.assign(randomStep(3, 1), { placementVersion: first.version + 1 });
  await expect(link.exchange(between, output)).rejects.toMatchObject({ heldVersion: next.version });
  // The one that the last step was made under is given up like any other.
  link.serve([next]);
  await expect(link.exchange(randomStep(3, 1), output)).rejects.toThrow(StalePlacementError);
});

test('rings, whatever was said, for a layer that the sender does not compute', async () => {
  const { link, memory } = openAssistedLink({ ...SLOW, computes: () => false }, false);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await expect(link.exchange(randomStep(1, 13), output)).rejects.toThrow(AnswerOverdueError);
  expect(memory.rings(0)).toBe(1);
});

test('tells of an instance that ended during the step, also where another thread serves in its place already', async () => {
  let endsAfter = 1;
  const { link } = openAssistedLink({
    ...SLOW,
    run: (...group) => {
      SLOW.run(...group);
      if (endsAfter-- === 0) link.lane.loseShare(0);
    },
  });
  const step = randomStep(4, 14);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await expect(link.exchange(step, output)).rejects.toMatchObject({ name: 'PeerLostError', lost: 0 });
  await link.exchange(step, output);
  expect(output.slice(0, 4 * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
});

test('works over a lane whose sender ended with a part of a step', async () => {
  const { link } = openAssistedLink(SLOW);
  const { lane } = link;
  lane.ask(0, 3);
  const request = lane.request(0);
  expect(lane.takeGroup(0, request)).toBe(2);
  lane.abandon();
  expect(lane.takeGroup(0, request)).toBe(-1);
  expect(lane.owes(0)).toBe(true);
  lane.reset();
  const step = randomStep(3, 15);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await link.exchange(step, output);
  expect(output.slice(0, 3 * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
});
