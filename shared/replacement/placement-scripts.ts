import {
  placementChannel,
  placementKey,
  placementTimeKey,
  placementVersionKey,
  preparedHostsKey,
  wantedPlacementKey,
} from '../protocol/keys.ts';
import type { Placement } from '../scheduler/layout.ts';
import { servingHosts } from './transition.ts';

/** What hosts and the scaler alike run in Redis to have a placement follow the one in force. */

/** KEYS of `TAKE_VERSION`. */
export const versionKeys = (model: string): string[] => [placementVersionKey(model), placementKey(model)];

/**
 * Takes the next version. KEYS 1 counter, 2 placement. ARGV 1, where whoever asks knows of one: a version that was in force.
 * Returns a number over all that were taken, and over these two.
 *
 * It is the server's time in milliseconds wherever that is larger, so that a server that has lost what it wrote last, and with it
 * versions that it had given, gives none of them again: it is not back within the millisecond.
 */
export const TAKE_VERSION = `
local held = redis.call('GET', KEYS[2])
local version = 0
if held then version = cjson.decode(held).version end
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local time = redis.call('TIME')
local known = tonumber(ARGV[1] or '0')
version = math.max(last + 1, version + 1, known + 1, time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], string.format('%d', version))
return version
`;

/** KEYS of `WANT`, and of what changes the same keys. */
export const transitionKeys = (model: string): string[] => [
  placementKey(model),
  placementTimeKey(model),
  wantedPlacementKey(model),
  preparedHostsKey(model),
];

/**
 * Publishes the placement that is to follow the one in force, if that is the one it was made from and none is under way.
 *
 * KEYS 1 placement, 2 time at which it was put in force, 3 wanted placement, 4 prepared hosts. ARGV 1 wanted placement, 2 version
 * that it was made from, 3 channel, 4 its version, 5 JSON list of the hosts that have to load it. Returns 1, or 0 where nothing
 * was changed.
 */
export const WANT = `
local held = redis.call('GET', KEYS[1])
if not held or cjson.decode(held).version ~= tonumber(ARGV[2]) then return 0 end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[3], 'placement', ARGV[1], 'from', ARGV[2], 'version', ARGV[4], 'hosts', ARGV[5], 'at', now)
redis.call('DEL', KEYS[4])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
`;

/** ARGV of `WANT`. */
export const wantArguments = (placement: Placement, from: number): (string | number)[] => [
  JSON.stringify(placement),
  from,
  placementChannel(placement.model),
  placement.version,
  JSON.stringify(servingHosts(placement)),
];
