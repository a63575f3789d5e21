import type { Redis } from 'ioredis';
import {
  performanceProfileKey,
  scalerDecisionsKey,
  scalerRecordKey,
  scalingTargetKey,
  trafficTableKey,
  wantedSizesKey,
} from '../../shared/protocol/keys.ts';
import type {
  PerformanceProfile,
  ScalerDecision,
  ScalerRecord,
  ScalingTarget,
  TrafficTable,
  WantedSizes,
} from '../../shared/protocol/scaling.ts';
import { ask } from '../dispatcher/ask.ts';

/** Decisions are kept for a day, and no more than these. */
const DECISIONS_TTL_S = 24 * 3_600;
export const MOST_DECISIONS = 20_000;

/**
 * Ends one round of a scaler, if no other one ended a round since it began: two scalers at once do what one does.
 *
 * KEYS 1 record, 2 wanted sizes, 3 decisions. ARGV 1 version of the record that the round began with (0: none), 2 new record, 3 new
 * wanted sizes or '' where they stay, 4 decision, 5 most decisions, 6 life of the decisions in seconds. Returns 1 where the round
 * counts, else 0.
 */
const END_ROUND = `
local held = redis.call('GET', KEYS[1])
local version = 0
if held then version = cjson.decode(held).version end
if version ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
redis.call('LPUSH', KEYS[3], ARGV[4])
redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
redis.call('EXPIRE', KEYS[3], ARGV[6])
return 1
`;

/** What a round begins with; null where there is none yet. */
export interface ScalerInputs {
  readonly record: ScalerRecord | null;
  readonly target: ScalingTarget | null;
  readonly profile: PerformanceProfile | null;
  readonly wanted: WantedSizes | null;
  readonly trafficTable: TrafficTable | null;
}

/** @throws {DispatchError} `broker` */
export async function readInputs(redis: Redis, model: string): Promise<ScalerInputs> {
  const keys = [
    scalerRecordKey(model),
    scalingTargetKey(model),
    performanceProfileKey(model),
    wantedSizesKey(model),
    trafficTableKey(model),
  ];
  const stored = await ask(redis.mget(keys));
  const [record, target, profile, wanted, trafficTable] = stored.map((text) =>
    text == null ? null : JSON.parse(text),
  );
  return { record, target, profile, wanted, trafficTable };
}

/** What a round found. */
export interface ScalerRound {
  /** Of the record that it began with; 0: there was none. */
  readonly from: number;
  readonly record: ScalerRecord;
  /** Null where the sizes stay. */
  readonly wanted: WantedSizes | null;
  readonly decision: ScalerDecision;
}

/**
 * @returns false where another scaler was faster; nothing has changed then
 * @throws {DispatchError} `broker`
 */
export async function endRound(redis: Redis, model: string, round: ScalerRound): Promise<boolean> {
  const { from, record, wanted, decision } = round;
  const keys = [scalerRecordKey(model), wantedSizesKey(model), scalerDecisionsKey(model)];
  const reply = redis.eval(
    END_ROUND,
    keys.length,
    ...keys,
    from,
    JSON.stringify(record),
    wanted === null ? '' : JSON.stringify(wanted),
    JSON.stringify(decision),
    MOST_DECISIONS,
    DECISIONS_TTL_S,
  );
  return (await ask(reply)) === 1;
}

/**
 * The latest decisions, newest first.
 *
 * @throws {DispatchError} `broker`
 */
export async function readDecisions(redis: Redis, model: string, most: number): Promise<ScalerDecision[]> {
  const stored = await ask(redis.lrange(scalerDecisionsKey(model), 0, most - 1));
  return stored.map((text) => JSON.parse(text) as ScalerDecision);
}

/** @throws {DispatchError} `broker` */
export async function storeTarget(redis: Redis, model: string, target: ScalingTarget): Promise<void> {
  await ask(redis.set(scalingTargetKey(model), JSON.stringify(target)));
}

/** @throws {DispatchError} `broker` */
export async function storeProfile(redis: Redis, model: string, profile: PerformanceProfile): Promise<void> {
  await ask(redis.set(performanceProfileKey(model), JSON.stringify(profile)));
}
