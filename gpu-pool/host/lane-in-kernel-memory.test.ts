import { expect, test } from 'vitest';
import { Lane } from '../exchange/lane.ts';
import { laneBytes } from '../exchange/lane-layout.ts';
import { KernelExperts } from '../runtime/kernel/kernel-experts.ts';
import { randomNumbers, randomWeights, tinyConfig } from '../runtime/testing/tiny-model.ts';
import { weightFormats } from '../runtime/weights.ts';
import { planKernels } from './kernel-plan.ts';

const config = { ...tinyConfig, hiddenSize: 32, headSize: 16, expertSize: 24, vocabularySize: 40 };
const ROWS = 8;
const formats = weightFormats('int4');
const options = {
  shape: { maxRows: ROWS, hiddenSize: config.hiddenSize, expertsPerToken: config.expertsPerToken },
  instances: 1,
  placedInstances: 1,
  experts: config.experts,
};

test('experts compute rows of a lane in kernel memory as those of any other, and leave other lanes to be copied', () => {
  const plan = planKernels({
    config,
    formats,
    choice: 'wasm',
    experts: [new Set([1]), new Set()],
    expertInstances: 1,
    attentionInstances: 0,
    expertRows: ROWS,
    attentionRows: ROWS,
    slots: 1,
    lanes: 1,
    laneBytes: laneBytes(options),
  })!;
  const experts = new KernelExperts(config, formats, plan.expert(0).source);
  experts.load(0, 1, randomWeights(1));
  const lane = new Lane(options, plan.lanes[0]);
  lane.hidden.set(randomNumbers(lane.hidden.length, 2));
  const { expertsPerToken, hiddenSize } = lane.shape;
  const rows = [6, 0, 3];
  lane.groups.groupPairs.set(
    rows.map((row, index) => row * expertsPerToken + (index % expertsPerToken)),
    2,
  );
  const { groupPairs } = lane.groups;
  expect(experts.runPairs(0, 1, lane.hidden, groupPairs, 2, rows.length, lane.outputs)).toBe(true);

  const input = Float32Array.from(
    rows.flatMap((row) => [...lane.hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize)]),
  );
  const expected = new Float32Array(input.length);
  experts.run(0, 1, input, rows.length, expected);
  expect(expected.some((value) => value !== 0)).toBe(true);
  expect(lane.outputs.slice(2 * hiddenSize, 5 * hiddenSize)).toEqual(expected);
  expect(lane.outputs.slice(0, 2 * hiddenSize).every((value) => value === 0)).toBe(true);

  const elsewhere = new Lane(options);
  expect(experts.runPairs(0, 1, elsewhere.hidden, groupPairs, 2, 1, elsewhere.outputs)).toBe(false);
});
