import type { Redis } from 'ioredis';
import { publishPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PlacementPlan } from './plan-placement.ts';

/**
 * Puts a planned placement in force.
 *
 * @throws JanusError when another placement was put in force since the plan was made; then nothing is changed
 */
export async function putInForce(redis: Redis, { placement, from }: PlacementPlan): Promise<void> {
  const inForce = await publishPlacement(redis, placement, from);
  // Whoever was faster may have chosen the same number, so that the numbers tell nothing.
  if (JSON.stringify(inForce) === JSON.stringify(placement)) return;
  throw new JanusError(
    `Somebody else put placement version ${inForce.version} in force since this plan was made from version ${from}. ` +
      'Nothing was changed; run the command again to plan from there.',
  );
}
