import { QueueKeys } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  backlogsOf,
  type FairState,
  levelPriority,
  UNPLACED_TAG,
} from '../../shared/admission/fair-priority.ts';
import { fairOrderKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import { ask } from './ask.ts';

/** BullMQ's score of a waiting job is its priority times this, plus its number in order of arrival. */
const ARRIVALS = 2 ** 32;
/** No request waits for so long, so that what is forgotten after this time is of no use any more. */
const STATE_LIFE_MS = 24 * 60 * 60_000;
/** Jobs that one run of the script below moves. */
const MOST_MOVED = 1_000;
const OWNER_FIELD = 'owner:';

/**
 * Gives an owner's jobs, which wait without a place, tags in a row: `reserveTags` of shared/admission/fair-priority.ts. Jobs come
 * to the queue first and get their place then, so that every tag that was given and not taken is to be seen in the queue.
 *
 * KEYS 1 hash of the level: `virtual` and `latest` as in `FairState`, `shift`, `owner:<id>` its finishes, of no more owners than
 * sent anything since none of its jobs waited; 2 BullMQ's sorted set of waiting jobs. ARGV 1 owner, 2 BullMQ priority of the
 * level's first tag, 3 tag of jobs without a place, which is the level's last, 4 time to live of the hash in ms, 5 prefix of
 * BullMQ's keys of jobs, 6 most jobs to move, from 7 on ids of the jobs. Those that are taken already need no place, and come
 * back before the others of their level where they are tried again.
 *
 * When half of a level's tags are behind the virtual time, all that was given out moves back by `shift`. A job that waits with a
 * tag from `latest` on was given it before that, and is moved as well, when it is found: most wait at that time, but one that is
 * tried again comes back afterwards.
 */
const PLACE = `
local state, queue = KEYS[1], KEYS[2]
local owner, base, last = 'owner:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local arrivals = ${ARRIVALS}
local function scoreOf(tag) return string.format('%.0f', (base + tag) * arrivals) end
local function tagOf(score) return math.floor(tonumber(score) / arrivals) - base end
local function move(job, score, tag)
  redis.call('ZADD', queue, string.format('%.0f', (base + tag) * arrivals + tonumber(score) % arrivals), job)
  redis.call('HSET', ARGV[5] .. job, 'priority', base + tag)
end

local jobs = {}
for at = 7, #ARGV do
  local score = redis.call('ZSCORE', queue, ARGV[at])
  if score then
    jobs[#jobs + 1] = { ARGV[at], score }
  elseif redis.call('EXISTS', ARGV[5] .. ARGV[at]) == 1 then
    redis.call('HSET', ARGV[5] .. ARGV[at], 'priority', base)
  end
end
if #jobs == 0 then return end

local held = redis.call('HMGET', state, 'virtual', 'latest', 'shift', owner)
local virtual, latest = tonumber(held[1] or 0), tonumber(held[2] or 0)
local shift, finish = tonumber(held[3] or 0), tonumber(held[4] or 0)

local function moveBack()
  if shift == 0 then return end
  local found = redis.call('ZRANGEBYSCORE', queue, scoreOf(latest), '(' .. scoreOf(last), 'WITHSCORES', 'LIMIT', 0, ARGV[6])
  for at = 1, #found, 2 do move(found[at], found[at + 1], math.max(0, tagOf(found[at + 1]) - shift)) end
end

moveBack()
local head = redis.call('ZRANGEBYSCORE', queue, scoreOf(0), '(' .. scoreOf(last), 'WITHSCORES', 'LIMIT', 0, 1)
if #head > 0 then
  virtual = math.max(virtual, tagOf(head[2]))
elseif redis.call('ZCOUNT', queue, scoreOf(last), '(' .. scoreOf(last + 1)) <= #jobs then
  virtual, finish = latest, 0
  redis.call('DEL', state)
end

if virtual >= last / 2 then
  shift = virtual
  virtual, latest, finish = 0, math.max(0, latest - shift), math.max(0, finish - shift)
  local fields = redis.call('HGETALL', state)
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 6) == 'owner:' then
      redis.call('HSET', state, fields[at], math.max(0, fields[at + 1] - shift))
    end
  end
  moveBack()
end

local first = math.max(virtual, finish)
for at, job in ipairs(jobs) do move(job[1], job[2], math.min(first + at, last) - 1) end
finish = math.min(first + #jobs, last)
latest = math.max(latest, finish)
redis.call('HSET', state, 'virtual', virtual, 'latest', latest, 'shift', shift, owner, finish)
redis.call('PEXPIRE', state, ARGV[4])
`;

const queueKeys = new QueueKeys(QUEUE_PREFIX);
const keyOf = (model: string, type: string): string => queueKeys.toKey(requestQueueName(model), type);
const scoreOf = (priority: number): number => priority * ARRIVALS;

/** Jobs of one request that wait without a place. */
export interface UnplacedJobs {
  readonly model: string;
  readonly level: number;
  readonly owner: string;
  readonly ids: readonly string[];
}

/** Gives jobs their place among those of other owners. @throws {DispatchError} `broker` */
export async function placeFairly(redis: Redis, { model, level, owner, ids }: UnplacedJobs): Promise<void> {
  const keys = [fairOrderKey(model, level), keyOf(model, 'prioritized')];
  const bounds = [levelPriority(level), UNPLACED_TAG, STATE_LIFE_MS];
  const jobs = [keyOf(model, ''), MOST_MOVED, ...ids];
  await ask(redis.eval(PLACE, keys.length, ...keys, owner, ...bounds, ...jobs));
}

/** What waits in a model's queue before a job of one level. */
export interface WaitingJobs {
  /** Jobs that hosts hold. */
  readonly held: number;
  /** Jobs of earlier levels, and such as go before all levels. */
  readonly earlier: number;
  /** Jobs of the level by owner. Those without a place, and those of nobody, count for the owner ''. */
  readonly backlogs: Map<string, number>;
}

function fairState(fields: Readonly<Record<string, string>>): FairState {
  const owners = Object.entries(fields).filter(([field]) => field.startsWith(OWNER_FIELD));
  return {
    virtualTime: Number(fields.virtual ?? 0),
    latest: Number(fields.latest ?? 0),
    finishes: new Map(
      owners.map(([field, finish]): [string, number] => [field.slice(OWNER_FIELD.length), Number(finish)]),
    ),
  };
}

/** Counts in one round trip what waits. @throws {DispatchError} `broker` */
export async function readWaitingJobs(redis: Redis, model: string, level: number): Promise<WaitingJobs> {
  const queue = keyOf(model, 'prioritized');
  const first = scoreOf(levelPriority(level));
  const unplaced = `(${scoreOf(levelPriority(level) + UNPLACED_TAG)}`;
  const end = `(${scoreOf(levelPriority(level + 1))}`;
  const [held, unordered, before, inLevel, head, fields] = await ask(
    Promise.all([
      redis.llen(keyOf(model, 'active')),
      redis.llen(keyOf(model, 'wait')),
      redis.zcount(queue, '-inf', `(${first}`),
      redis.zcount(queue, first, end),
      redis.zrangebyscore(queue, first, unplaced, 'WITHSCORES', 'LIMIT', 0, 1),
      redis.hgetall(fairOrderKey(model, level)),
    ]),
  );
  const headTag =
    head[1] === undefined ? null : Math.floor(Number(head[1]) / ARRIVALS) - levelPriority(level);
  const backlogs = backlogsOf(fairState(fields), headTag);
  const known = [...backlogs.values()].reduce((sum, backlog) => sum + backlog, 0);
  if (inLevel > known) backlogs.set('', inLevel - known);
  return { held, earlier: unordered + before, backlogs };
}
