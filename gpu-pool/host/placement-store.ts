import type { Redis } from 'ioredis';
import {
  givenUpPlacementKey,
  placementChannel,
  placementKey,
  wantedPlacementKey,
} from '../../shared/protocol/keys.ts';
import {
  TAKE_VERSION,
  transitionKeys,
  versionKeys,
  WANT,
  wantArguments,
} from '../../shared/replacement/placement-scripts.ts';
import type { WantedPlacement } from '../../shared/replacement/transition.ts';
import { checkPlacement, type Placement } from '../../shared/scheduler/layout.ts';

/**
 * Puts a placement in force if nobody did so since it was computed. One that is wanted was made from the placement that goes,
 * and is given up.
 *
 * KEYS 1 placement, 2 time at which it was put in force, 3 wanted placement, 4 prepared hosts. ARGV 1 new placement, 2 version
 * that it was computed from (0: none), 3 channel, 4 its version. Returns the placement in force afterwards, the new one or that of
 * whoever was faster.
 */
const PUBLISH = `
local held = redis.call('GET', KEYS[1])
local version = 0
if held then version = cjson.decode(held).version end
if version ~= tonumber(ARGV[2]) then return held end
redis.call('SET', KEYS[1], ARGV[1])
local time = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return ARGV[1]
`;

/**
 * Says that a host has loaded its share of the wanted placement. KEYS as above. ARGV 1 host, 2 version that it has loaded.
 * Returns 1, or 0 where that version is not wanted. Twice changes nothing.
 */
const ACKNOWLEDGE = `
if redis.call('HGET', KEYS[3], 'version') ~= ARGV[2] then return 0 end
redis.call('SADD', KEYS[4], ARGV[1])
return 1
`;

/**
 * Puts the wanted placement in force if it was made from the one in force and all of its hosts have acknowledged it. Anybody
 * may try, at any time. KEYS as above. ARGV 1 version, 2 channel. Returns 1 where that version is in force afterwards, else 0.
 */
const FLIP = `
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local version = cjson.decode(held).version
if version == tonumber(ARGV[1]) then return 1 end
local wanted = redis.call('HMGET', KEYS[3], 'version', 'from', 'hosts', 'placement')
if wanted[1] ~= ARGV[1] or tonumber(wanted[2]) ~= version then return 0 end
for _, host in ipairs(cjson.decode(wanted[3])) do
  if redis.call('SISMEMBER', KEYS[4], host) == 0 then return 0 end
end
redis.call('SET', KEYS[1], wanted[4])
local time = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
`;

/**
 * Gives a wanted placement up. KEYS as above, 5 version that was given up last. ARGV 1 version, 2 channel. Returns 1, or 0 where
 * that version is not wanted.
 */
const ABANDON = `
if redis.call('HGET', KEYS[3], 'version') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('SET', KEYS[5], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
`;

/** The placement in force, or `null` when none was ever published. @throws JanusError when it is not valid */
export function readPlacement(redis: Redis, model: string): Promise<Placement | null> {
  return new PlacementReader(redis, model).read();
}

/** Reads the placement in force again and again, and looks into it only when it is another. */
export class PlacementReader {
  readonly #redis: Redis;
  readonly #model: string;
  #text: string | null = null;
  #placement: Placement | null = null;

  constructor(redis: Redis, model: string) {
    this.#redis = redis;
    this.#model = model;
  }

  /** As `readPlacement`. */
  async read(): Promise<Placement | null> {
    const text = await this.#redis.get(placementKey(this.#model));
    if (text === this.#text) return this.#placement;
    const placement = text === null ? null : (JSON.parse(text) as Placement);
    if (placement !== null) checkPlacement(placement);
    this.#text = text;
    this.#placement = placement;
    return placement;
  }
}

/** The placement that is to follow the one in force; null where none is under way. @throws JanusError when it is not valid */
export async function readWanted(redis: Redis, model: string): Promise<WantedPlacement | null> {
  const { placement: stored, from, hosts, at } = await redis.hgetall(wantedPlacementKey(model));
  if (stored === undefined) return null;
  const placement = JSON.parse(stored) as Placement;
  checkPlacement(placement);
  return { placement, from: Number(from), hosts: JSON.parse(hosts!), publishedAtMs: Number(at) };
}

/**
 * A version for a placement that is about to be published: over that in force, and never given before.
 *
 * @param above a version that was in force, of which Redis may know nothing any more
 */
export async function takeVersion(redis: Redis, model: string, above = 0): Promise<number> {
  const keys = versionKeys(model);
  return (await redis.eval(TAKE_VERSION, keys.length, ...keys, above)) as number;
}

/** Publishes `placement` as the successor of version `from`; returns the placement that is in force then. */
export async function publishPlacement(redis: Redis, placement: Placement, from: number): Promise<Placement> {
  const { model, version } = placement;
  const keys = transitionKeys(model);
  const channel = placementChannel(model);
  return JSON.parse(
    (await redis.eval(
      PUBLISH,
      keys.length,
      ...keys,
      JSON.stringify(placement),
      from,
      channel,
      version,
    )) as string,
  ) as Placement;
}

/** Publishes `placement` as wanted after version `from`; false where another is under way, or `from` is not in force any more. */
export async function wantPlacement(redis: Redis, placement: Placement, from: number): Promise<boolean> {
  const keys = transitionKeys(placement.model);
  return (await redis.eval(WANT, keys.length, ...keys, ...wantArguments(placement, from))) === 1;
}

/** Says that `host` holds what the wanted `version` gives it; false where that version is not wanted any more. */
export async function acknowledgePlacement(
  redis: Redis,
  model: string,
  host: string,
  version: number,
): Promise<boolean> {
  const keys = transitionKeys(model);
  return (await redis.eval(ACKNOWLEDGE, keys.length, ...keys, host, version)) === 1;
}

/** Puts the wanted `version` in force if all of its hosts have acknowledged it; returns whether it is in force. */
export async function flipPlacement(redis: Redis, model: string, version: number): Promise<boolean> {
  const keys = transitionKeys(model);
  return (await redis.eval(FLIP, keys.length, ...keys, version, placementChannel(model))) === 1;
}

/** Gives the wanted `version` up; false where it is not wanted. */
export async function abandonPlacement(redis: Redis, model: string, version: number): Promise<boolean> {
  const keys = [...transitionKeys(model), givenUpPlacementKey(model)];
  return (await redis.eval(ABANDON, keys.length, ...keys, version, placementChannel(model))) === 1;
}
