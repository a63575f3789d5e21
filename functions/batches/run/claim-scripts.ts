/**
 * What happens to a batch under a claim. A claim is a token in the batch's lease, drawn anew by each process that takes the
 * batch; whoever does not hold the lease any more changes nothing. Every script may be run twice, as happens when Redis
 * answers a connection that is gone: the second run changes nothing and answers as the first.
 */

/**
 * Takes a batch that has not ended and that nobody holds.
 *
 * KEYS 1 lease, 2 open batches. ARGV 1 token, 2 life of the lease in ms, 3 id of the batch. Returns 1 where it is held with
 * this token then, else 0.
 */
export const CLAIM = `
if not redis.call('ZSCORE', KEYS[2], ARGV[3]) then return 0 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
`;

/**
 * Holds a batch for longer.
 *
 * KEYS 1 lease, 2 record. ARGV 1 token, 2 life of the lease in ms. Returns the batch's status, or nothing where the lease
 * is lost.
 */
export const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[2], 'status')
`;

/** Gives a batch up for others to take. KEYS 1 lease. ARGV 1 token. */
export const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`;

/**
 * Moves a batch from one status that is no end to another.
 *
 * KEYS 1 lease, 2 record. ARGV 1 token, 2 status to leave, 3 status to enter, 4 Unix time in seconds, 5 and further fields
 * and values to set with it. Returns the status that the batch is in then, which is a third one where it was cancelled
 * meanwhile, or `lost`.
 */
export const MOVE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local status = redis.call('HGET', KEYS[2], 'status')
if status ~= ARGV[2] then return status end
redis.call('HSET', KEYS[2], 'status', ARGV[3], ARGV[3] .. '_at', ARGV[4], unpack(ARGV, 5))
return ARGV[3]
`;

/**
 * Records results that were written to the claim's parts: from then on they count.
 *
 * KEYS 1 lease, 2 record, 3 lines done, 4 parts. ARGV 1 token, 2 bytes of the output part that counted before and 3 that
 * count with these results, 4 and 5 the same of the error part, 6 results in the output, 7 in the errors, 8 and further the
 * numbers of their lines. Returns `recorded`, or `lost` also where Redis has forgotten an earlier record or a line has a
 * result already: then none of these counts.
 */
export const RECORD = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local outputField, errorField = ARGV[1] .. ':output', ARGV[1] .. ':error'
local output = redis.call('HGET', KEYS[4], outputField) or '0'
local errors = redis.call('HGET', KEYS[4], errorField) or '0'
if output == ARGV[3] and errors == ARGV[5] then return 'recorded' end
if output ~= ARGV[2] or errors ~= ARGV[4] then return 'lost' end
for at = 8, #ARGV do
  if redis.call('GETBIT', KEYS[3], ARGV[at]) == 1 then return 'lost' end
end
for at = 8, #ARGV do redis.call('SETBIT', KEYS[3], ARGV[at], 1) end
redis.call('HSET', KEYS[4], outputField, ARGV[3], errorField, ARGV[5])
redis.call('HINCRBY', KEYS[2], 'completed', ARGV[6])
redis.call('HINCRBY', KEYS[2], 'failed', ARGV[7])
return 'recorded'
`;

/**
 * Ends a batch and shows its results as files.
 *
 * KEYS 1 lease, 2 record, 3 open batches, 4 record of the input file, 5 lines done, 6 parts, 7 owner's files, 8 sequence,
 * 9 and 10 records of the output and the error file. ARGV 1 token, 2 id of the batch, 3 status to leave, 4 status to enter,
 * 5 Unix time in seconds, 6 seconds for which the record is kept, 7 JSON of the errors, 8 number of fields and values in the
 * record of a file, then for either file: its id, '' where there are no such results, and the fields and values. Returns the
 * status that the batch is in then, or `lost`.
 */
export const END = `
if redis.call('HGET', KEYS[2], 'ended_by') == ARGV[1] then return redis.call('HGET', KEYS[2], 'status') end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local status = redis.call('HGET', KEYS[2], 'status')
if status ~= ARGV[3] then return status end
local count = tonumber(ARGV[8])
local function show(record, field, from)
  local id = ARGV[from]
  if id == '' then return end
  redis.call('HSET', record, unpack(ARGV, from + 1, from + count))
  redis.call('ZADD', KEYS[7], redis.call('INCR', KEYS[8]), id)
  redis.call('HSET', KEYS[2], field, id)
end
show(KEYS[9], 'output_file_id', 9)
show(KEYS[10], 'error_file_id', 10 + count)
redis.call('HSET', KEYS[2], 'status', ARGV[4], ARGV[4] .. '_at', ARGV[5], 'errors', ARGV[7], 'ended_by', ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('ZREM', KEYS[3], ARGV[2])
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('HINCRBY', KEYS[4], 'open_batches', -1) end
redis.call('DEL', KEYS[1], KEYS[5], KEYS[6])
return ARGV[4]
`;
