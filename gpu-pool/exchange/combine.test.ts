import fc from 'fast-check';
import { expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import { indexLayout } from '../../shared/scheduler/layout-index.ts';
import { RowGroups } from '../../shared/scheduler/row-groups.ts';
import type { ExpertCompute } from '../runtime/expert-compute.ts';
import { addShare, Combiner } from './combine.ts';
import { GroupRunner } from './group-runner.ts';
import { Lane } from './lane.ts';

const EXPERTS = 14;
const shape = (expertsPerToken: number): LayerStepShape => ({ maxRows: 8, hiddenSize: 10, expertsPerToken });

const smooth: ExpertCompute = (_layer, expert, input, _rows, output) => {
  for (let i = 0; i < input.length; i++) output[i] = Math.sin(input[i]! * (expert + 1));
};

/** Huge outputs that cancel each other and swallow what was added before: every other order of additions shows. */
const cancelling: ExpertCompute = (layer, expert, input, rows, output) => {
  if (expert % 3 === 0) smooth(layer, expert, input, rows, output);
  else output.fill(expert % 3 === 1 ? 2 ** 60 : -(2 ** 60), 0, input.length);
};

interface Step {
  readonly topK: number;
  readonly rows: number;
  readonly hidden: readonly number[];
  /** Per row distinct experts in the order of the gate. */
  readonly ids: readonly (readonly number[])[];
  readonly weights: readonly number[];
}

const steps: fc.Arbitrary<Step> = fc
  .record({ topK: fc.integer({ min: 1, max: 9 }), rows: fc.integer({ min: 0, max: 8 }) })
  .chain(({ topK, rows }) => {
    const some = (count: number) =>
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 }), {
        minLength: count,
        maxLength: count,
      });
    const row = fc.shuffledSubarray([...Array(EXPERTS).keys()], { minLength: topK, maxLength: topK });
    return fc.record({
      topK: fc.constant(topK),
      rows: fc.constant(rows),
      hidden: some(rows * 10),
      ids: fc.array(row, { minLength: rows, maxLength: rows }),
      weights: fc.array(fc.constantFrom(0.5, 1, 2), { minLength: rows * topK, maxLength: rows * topK }),
    });
  });

/** A host with `instances` expert instances, all on this thread. */
class Host {
  readonly lane: Lane;
  readonly #step: Step;
  readonly #instances: number;
  readonly #scheduler: AebsScheduler;

  constructor(step: Step, instances: number, compute: ExpertCompute) {
    this.#step = step;
    this.#instances = instances;
    const options = { shape: shape(step.topK), instances, placedInstances: instances, experts: EXPERTS };
    this.lane = new Lane(options);
    this.lane.outputs.fill(Number.NaN);
    Object.assign(this.lane, { rows: step.rows, layer: 0 });
    this.lane.hidden.set(step.hidden);
    this.lane.expertIds.set(step.ids.flat());
    this.lane.gateWeights.set(step.weights);
    const placement = staticPlacement({
      version: 1,
      model: 'm',
      layers: 1,
      experts: EXPERTS,
      capacity: Math.min(EXPERTS, Math.ceil(EXPERTS / instances) + 2),
      instances: Array.from({ length: instances }, (_, id) => ({ id, host: 'h' })),
    });
    this.#scheduler = new AebsScheduler(this.lane.limits);
    const groups = new RowGroups(this.lane.limits, this.lane.groups);
    const index = indexLayout(placement.layers[0]!, EXPERTS);
    this.#scheduler.schedule(index, this.lane.expertIds, step.rows, step.topK);
    groups.group(this.lane.expertIds, this.#scheduler.instanceOf, step.rows, step.topK);
    const runner = new GroupRunner(8, 10, compute);
    for (let instance = instances - 1; instance >= 0; instance--) runner.run(this.lane, instance);
  }

  combine(first = 0, count = this.#instances): Float32Array {
    const output = new Float32Array(8 * 10).fill(Number.NaN);
    new Combiner(shape(this.#step.topK)).combine(this.lane, first, count, output);
    return output;
  }
}

/** The sum by its definition: in the gate's order, in double precision, rounded once. */
function definition(step: Step, compute: ExpertCompute): Float32Array {
  const output = new Float32Array(8 * 10).fill(Number.NaN);
  for (const [row, ids] of step.ids.entries()) {
    const sum = new Float64Array(10);
    const expertOutput = new Float32Array(10);
    for (const [choice, expert] of ids.entries()) {
      compute(0, expert, Float32Array.from(step.hidden.slice(row * 10, (row + 1) * 10)), 1, expertOutput);
      const weight = Math.fround(step.weights[row * step.topK + choice]!);
      for (let i = 0; i < 10; i++) sum[i]! += weight * expertOutput[i]!;
    }
    output.set(sum, row * 10);
  }
  return output;
}

const bits = (output: Float32Array) => [...new Uint32Array(output.buffer)];

test('the sum is bit-identical for 1, 2 and 7 expert instances, and runs in the order of the gate', () => {
  fc.assert(
    fc.property(steps, (step) => {
      const expected = bits(definition(step, cancelling));
      for (const instances of [1, 2, 7])
        expect(bits(new Host(step, instances, cancelling).combine())).toEqual(expected);
    }),
    { numRuns: 1_000 },
  );
});

test('the shares of several hosts add up to the whole', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 6 }), (step, firstOfSecond) => {
      const host = new Host(step, 7, smooth);
      const output = host.combine(0, firstOfSecond);
      addShare(output, host.combine(firstOfSecond, 7 - firstOfSecond), step.rows, shape(step.topK));
      const whole = host.combine();
      for (let i = 0; i < step.rows * 10; i++) expect(output[i]).toBeCloseTo(whole[i]!, 4);
      expect(output.subarray(step.rows * 10).every(Number.isNaN)).toBe(true);
    }),
  );
});
