import { LoadWatch } from '../peer/measure/machine-load.ts';
import { packedBenchModel } from '../systems/bench-model.ts';
import { measureLoading } from './loading.ts';
import { measurePacking } from './packing.ts';
import { measureServing } from './serving.ts';

const FULL = {
  milestones: [1_000, 2_500, 4_000, 5_500, 7_000, 8_500, 10_000],
  loads: 5,
  sequences: [1, 8, 32],
};
const QUICK = { milestones: [100, 200, 300], loads: 1, sequences: [1] };
const PAUSE_MS = 500;

/** What the service holds while it answers requests, and what a packed model takes to make, to load and to run. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { milestones, loads, sequences } = quick ? QUICK : FULL;
  const model = await packedBenchModel();
  const watch = new LoadWatch();
  const { cases, kibPerThousandRequests, hungUp } = await measureServing(milestones);
  await watch.pause(PAUSE_MS);
  const loading = await measureLoading(model, loads, sequences);
  await watch.pause(PAUSE_MS);
  const packing = await measurePacking(model.source);
  return {
    cases,
    unit: 'MiB',
    kibPerThousandRequests,
    hungUp,
    loading,
    packing,
    wanted: {
      kibPerThousandRequests: 'about 0 but for redis, which keeps streams and ended jobs for a while',
      loadMs: '≤ 20000',
      peakOverPacked: '≤ 1.5',
      packing: { seconds: '≤ 180', peakMib: '≤ 2048' },
    },
    machineLoad: watch.result(),
  };
}
