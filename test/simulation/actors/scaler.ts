import { DispatchError } from '../../../functions/dispatcher/errors.ts';
import { createPoolReader } from '../../../functions/dispatcher/pool-reader.ts';
import { startScaler } from '../../../functions/scaler/start-scaler.ts';
import type { Bed } from '../bed.ts';
import { MODEL } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';

/** Starts a scaler. Several at once are meant to do what one does. */
export function startSimulatedScaler(bed: Bed, name: string, skewMs: number): SimulatedProcess {
  return bed.start(name, skewMs, async (process) => {
    const { redis } = bed.connect(process, 'function');
    startScaler({
      redis,
      pools: createPoolReader(redis),
      clock: { nowMs: () => Date.now() },
      model: MODEL,
      report: (error) => {
        // Redis is away: the next round comes all the same.
        if (!(error instanceof DispatchError)) bed.checks.broke(error);
      },
    });
  });
}
