import type { Redis } from 'ioredis';
import { cancelChannel, cancelledKey, TOKEN_STREAM_TTL_S } from '../../shared/protocol/keys.ts';
import { asBrokerFault } from './bounded.ts';

/**
 * Cancels one request.
 * - KEYS[1]: `cancelledKey(requestId)`; ARGV: channel, request id, seconds to live.
 * - The key gets the Unix time in milliseconds by Redis' own clock, so that all hosts read one clock. A second cancel
 *   keeps the first time and renews nothing, but tells the channel again: whoever missed the first message may hear it.
 * - Returns the time in the key.
 */
const CANCEL_SCRIPT = `
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], now, 'NX', 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return redis.call('GET', KEYS[1])
`;

/** The key outlives every journal that the cancelled request can have. */
const CANCELLED_TTL_S = TOKEN_STREAM_TTL_S;

/**
 * Tells the pools that nobody waits for a request any more. Safe to call before, during and after its dispatch.
 *
 * @returns Unix time in milliseconds of the first cancel
 * @throws {DispatchError} `broker`
 */
export async function cancelRequest(redis: Redis, requestId: string, model: string): Promise<number> {
  const reply = redis.eval(
    CANCEL_SCRIPT,
    1,
    cancelledKey(requestId),
    cancelChannel(model),
    requestId,
    CANCELLED_TTL_S,
  );
  return Number(await asBrokerFault(reply));
}
