import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import { randomLayout, uniformRouting } from '../../test/support/scheduler/synthetic-steps.ts';
import { AebsKernel, type KernelSchedule, type KernelStep } from './aebs-kernel.ts';
import { type GpuDevice, openGpuDevice } from './gpu-device.ts';

const CASES = 10_000;
const CASES_PER_CALL = 500;
const LAYOUTS = 250;
const SEED = 99;
const limits = { maxTokens: 48, topK: 8, experts: 96, instances: 24 };

let gpu: GpuDevice | undefined;
let missing = '';

beforeAll(async () => {
  try {
    gpu = await openGpuDevice();
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    missing = error.message;
    console.warn(`The GPU kernel is not tested: ${missing}`);
  }
});

afterAll(() => gpu?.close());

function gpuOrSkip(context: TestContext): GpuDevice {
  return gpu ?? context.skip(`no GPU: ${missing}`);
}

/** What the scheduler in TypeScript finds. */
function expected(layout: LayoutIndex, { expertIds, rows, topK }: KernelStep): KernelSchedule {
  const scheduler = new AebsScheduler(limits);
  scheduler.schedule(layout, expertIds, rows, topK);
  const { instanceOf, load, activated, aMax } = scheduler;
  const instanceOfPair = expertIds.map((expert) => instanceOf[expert]);
  return { instanceOf, instanceOfPair, load, activated, aMax };
}

test(`the kernel gives what the scheduler in TypeScript gives, bit for bit, in ${CASES} random cases`, async (context) => {
  const device = gpuOrSkip(context);
  const random = seededRandom(SEED);
  const below = (limit: number): number => Math.floor(random() * limit);
  const layouts = Array.from({ length: LAYOUTS }, () => {
    const experts = 1 + below(limits.experts);
    const replicas = below(3) * experts;
    return indexLayout(randomLayout(experts, 1 + below(limits.instances), replicas, random), experts);
  });
  const kernel = await AebsKernel.create(device, { limits, layouts, maxSteps: CASES_PER_CALL });
  for (let done = 0; done < CASES; done += CASES_PER_CALL) {
    const steps = Array.from({ length: CASES_PER_CALL }, (): KernelStep => {
      const layout = below(LAYOUTS);
      const topK = 1 + below(Math.min(limits.topK, layouts[layout].experts));
      const rows = below(limits.maxTokens + 1);
      const expertIds = uniformRouting(rows, topK, layouts[layout].experts, random);
      return { layout, expertIds, rows, topK };
    });
    const schedules = await kernel.schedule(steps);
    for (const [number, step] of steps.entries()) {
      expect(schedules[number]).toEqual(expected(layouts[step.layout], step));
    }
  }
  kernel.close();
});

test('a large step, with as many experts and instances as a large model has, is the same too', async (context) => {
  const device = gpuOrSkip(context);
  const large = { maxTokens: 4096, topK: 8, experts: 256, instances: 64 };
  const random = seededRandom(SEED);
  const layout = indexLayout(randomLayout(256, 64, 512, random), 256);
  const expertIds = uniformRouting(4096, 8, 256, random);
  const kernel = await AebsKernel.create(device, { limits: large, layouts: [layout], maxSteps: 1 });
  const [schedule] = await kernel.schedule([{ layout: 0, expertIds, rows: 4096, topK: 8 }]);
  const scheduler = new AebsScheduler(large);
  scheduler.schedule(layout, expertIds, 4096, 8);
  expect(schedule.instanceOf).toEqual(scheduler.instanceOf);
  expect(schedule.load).toEqual(scheduler.load);
  expect(schedule.instanceOfPair).toEqual(expertIds.map((expert) => scheduler.instanceOf[expert]));
  kernel.close();
});

test('the kernel refuses what the scheduler refuses, in the same words', async (context) => {
  const device = gpuOrSkip(context);
  // Expert 1 has no replica.
  const layouts = [indexLayout({ instances: 2, capacity: 2, slots: [[0], [0, 2]] }, 3)];
  const kernel = await AebsKernel.create(device, { limits, layouts, maxSteps: 2 });
  const step = (ids: number[], layout = 0): KernelStep => ({
    layout,
    expertIds: Int32Array.from(ids),
    rows: 1,
    topK: ids.length,
  });
  await expect(kernel.schedule([step([0, 2]), step([0, 3])])).rejects.toThrow(/slot 1 names expert 3/);
  await expect(kernel.schedule([step([-1])])).rejects.toThrow(/slot 0 names expert -1/);
  await expect(kernel.schedule([step([0, 1])])).rejects.toThrow(/expert 1 is activated but has no replica/);
  await expect(kernel.schedule([step([0], 1)])).rejects.toThrow(/step 0 names layout 1; this kernel has 1/);
  await expect(kernel.schedule([step([0]), step([0]), step([0])])).rejects.toThrow(/3 steps in one call/);
  const [schedule] = await kernel.schedule([step([0, 2])]);
  expect([...schedule.instanceOfPair]).toEqual([0, 1]);
  expect(await kernel.schedule([])).toEqual([]);
  kernel.close();
});

test('limits and layouts that the kernel cannot take are refused', async (context) => {
  const device = gpuOrSkip(context);
  const layouts = [indexLayout({ instances: 2, capacity: 1, slots: [[0], [1]] }, 2)];
  const create = (change: Partial<Parameters<typeof AebsKernel.create>[1]>) =>
    AebsKernel.create(device, { limits, layouts, maxSteps: 1, ...change });
  await expect(create({ limits: { ...limits, experts: 1 } })).rejects.toThrow(/layout 0 exceeds the limits/);
  const experts = device.device.limits.maxComputeWorkgroupStorageSize / 4;
  await expect(create({ limits: { ...limits, experts } })).rejects.toThrow(/bytes of workgroup memory/);
  await expect(create({ layouts: [] })).rejects.toThrow(/layouts is empty/);
  await expect(create({ maxSteps: 0 })).rejects.toThrow(JanusError);
});
