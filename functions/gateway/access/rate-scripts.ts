import type { Redis } from 'ioredis';

/**
 * Takes an amount of each limit of a key, or of none where one of them does not suffice.
 *
 * KEYS one hash per limit: Unix second → amount taken in it. ARGV 1 length of the window in s, then per limit: its size,
 * the amount asked for. A second counts until all that was taken in it is a whole window old, so that no window, wherever
 * it begins, holds more than the limit. Redis' own clock decides: gateways share a window only where they share a clock.
 * Returns the position of the first limit that refuses or 0, the second, the wait in ms after which the same would be
 * granted if nobody took anything meanwhile, then per limit: amount taken, time in ms until nothing of it counts.
 * A hash has no more fields than the window has seconds, and one, and disappears when none counts.
 */
const TAKE = `
local time = redis.call('TIME')
local second = tonumber(time[1])
local nowMs = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local window = tonumber(ARGV[1])
local function countsForMs(taken) return (taken + window + 1) * 1000 - nowMs end

local refused, waitMs = 0, 0
local used, resetMs = {}, {}
for position, key in ipairs(KEYS) do
  local limit, amount = tonumber(ARGV[2 * position]), tonumber(ARGV[2 * position + 1])
  local held, counted = redis.call('HGETALL', key), {}
  used[position], resetMs[position] = 0, 0
  for at = 1, #held, 2 do
    local taken, count = tonumber(held[at]), tonumber(held[at + 1])
    if taken < second - window then
      redis.call('HDEL', key, held[at])
    elseif count > 0 then
      counted[#counted + 1] = { taken, count }
      used[position] = used[position] + count
      resetMs[position] = math.max(resetMs[position], countsForMs(taken))
    end
  end
  if used[position] + amount > limit then
    if refused == 0 then refused = position end
    table.sort(counted, function(a, b) return a[1] < b[1] end)
    local rest = used[position]
    for _, entry in ipairs(counted) do
      if rest + amount > limit then
        rest = rest - entry[2]
        waitMs = math.max(waitMs, countsForMs(entry[1]))
      end
    end
  end
end

local reply = { refused, second, waitMs }
for position, key in ipairs(KEYS) do
  if refused == 0 then
    local amount = tonumber(ARGV[2 * position + 1])
    redis.call('HINCRBY', key, time[1], amount)
    redis.call('PEXPIRE', key, (window + 1) * 1000)
    used[position] = used[position] + amount
    resetMs[position] = math.max(resetMs[position], countsForMs(second))
  end
  reply[#reply + 1] = used[position]
  reply[#reply + 1] = resetMs[position]
end
return reply
`;

/**
 * Corrects an amount that was taken by estimate.
 *
 * KEYS 1 hash of the limit. ARGV 1 length of the window in s, 2 second in which it was taken, 3 what to add to it. What
 * was too much is given back to that second, if it counts still; what was too little counts from now on.
 */
const CORRECT = `
local difference = tonumber(ARGV[3])
if difference > 0 then
  redis.call('HINCRBY', KEYS[1], redis.call('TIME')[1], difference)
  redis.call('PEXPIRE', KEYS[1], (tonumber(ARGV[1]) + 1) * 1000)
elseif redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[2], difference)
end
`;

/** An amount asked for, at one limit. */
export interface Demand {
  /** Hash of what was taken. */
  readonly redisKey: string;
  readonly limit: number;
  readonly amount: number;
}

export interface TakeReply {
  /** Position of the first demand that is refused; -1: all were granted. */
  readonly refused: number;
  /** Unix time in seconds by Redis' clock. */
  readonly second: number;
  readonly waitMs: number;
  /** As many as demands. */
  readonly states: readonly { readonly used: number; readonly resetMs: number }[];
}

/** Takes all that is demanded or nothing. @throws Error when Redis refuses */
export async function takeAll(redis: Redis, windowS: number, demands: readonly Demand[]): Promise<TakeReply> {
  const keys = demands.map(({ redisKey }) => redisKey);
  const amounts = demands.flatMap(({ limit, amount }) => [limit, amount]);
  const reply = await redis.eval(TAKE, keys.length, ...keys, windowS, ...amounts);
  const [refused, second, waitMs, ...states] = reply as number[];
  return {
    refused: refused - 1,
    second,
    waitMs,
    states: demands.map((_, index) => ({ used: states[2 * index], resetMs: states[2 * index + 1] })),
  };
}

/** Adds `difference` to what was taken at `second`. @throws Error when Redis refuses */
export async function correctTaken(
  redis: Redis,
  windowS: number,
  { redisKey, second, difference }: { redisKey: string; second: number; difference: number },
): Promise<void> {
  await redis.eval(CORRECT, 1, redisKey, windowS, second, difference);
}
