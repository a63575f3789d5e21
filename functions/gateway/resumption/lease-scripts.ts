/**
 * A lease keeps a resumable answer from being cancelled. Who reads the answer renews it; who stops reading renews it a last
 * time, for as long as the answer is to wait for another reader. All gateways look for leases that have run out, so it does not
 * matter which of them dies. Time is Redis' own. Every script may be run twice, as happens when Redis answers a connection that
 * is gone.
 */

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * Keeps an answer, unless as many as may are under way.
 *
 * KEYS 1 leases, 2 record. ARGV 1 member, 2 life of the lease in ms, 3 record, 4 its time to live in seconds, 5 most leases.
 * Returns 1 where it is kept, else 0.
 */
export const KEEP = `${NOW}
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
`;

/** Renews a lease; one that is over stays so. KEYS 1 leases. ARGV 1 member, 2 its further life in ms. */
export const RENEW = `${NOW}
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
`;

/**
 * Takes leases that have run out, for who cancels what they kept. They come back unless their taker removes them.
 *
 * KEYS 1 leases. ARGV 1 most of them, 2 after how many ms they come back. Returns their members.
 */
export const TAKE_OVERDUE = `${NOW}
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(members) do redis.call('ZADD', KEYS[1], now + ARGV[2], member) end
return members
`;
