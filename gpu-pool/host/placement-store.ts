import type { Redis } from 'ioredis';
import { placementKey, placementTimeKey } from '../../shared/protocol/keys.ts';
import { checkPlacement, type Placement } from '../../shared/scheduler/layout.ts';

/**
 * Puts a placement in force if nobody did so since it was computed.
 *
 * KEYS 1 placement, 2 time at which it was put in force. ARGV 1 new placement, 2 version that it was computed from (0: none).
 * Returns the placement in force afterwards, the new one or that of whoever was faster.
 */
const PUBLISH = `
local held = redis.call('GET', KEYS[1])
local version = 0
if held then version = cjson.decode(held).version end
if version ~= tonumber(ARGV[2]) then return held end
redis.call('SET', KEYS[1], ARGV[1])
local time = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
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
  const { model } = placement;
  const keys = [placementKey(model), placementTimeKey(model)];
  return JSON.parse(
    (await redis.eval(PUBLISH, keys.length, ...keys, JSON.stringify(placement), from)) as string,
  ) as Placement;
}
