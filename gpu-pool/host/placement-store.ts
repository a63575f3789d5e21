import type { Redis } from 'ioredis';
import { placementKey } from '../../shared/protocol/keys.ts';
import { checkPlacement, type Placement } from '../../shared/scheduler/layout.ts';

/**
 * Puts a placement in force if nobody did so since it was computed.
 *
 * KEYS 1 placement. ARGV 1 new placement, 2 version that it was computed from (0: none).
 * Returns the placement in force afterwards, the new one or that of whoever was faster.
 */
const PUBLISH = `
local held = redis.call('GET', KEYS[1])
local version = 0
if held then version = cjson.decode(held).version end
if version ~= tonumber(ARGV[2]) then return held end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
`;

/** The placement in force, or `null` when none was ever published. @throws JanusError when it is not valid */
export async function readPlacement(redis: Redis, model: string): Promise<Placement | null> {
  const stored = await redis.get(placementKey(model));
  if (stored === null) return null;
  const placement = JSON.parse(stored) as Placement;
  checkPlacement(placement);
  return placement;
}

/** Publishes `placement` as the successor of version `from`; returns the placement that is in force then. */
export async function publishPlacement(redis: Redis, placement: Placement, from: number): Promise<Placement> {
  const key = placementKey(placement.model);
  return JSON.parse(
    (await redis.eval(PUBLISH, 1, key, JSON.stringify(placement), from)) as string,
  ) as Placement;
}
