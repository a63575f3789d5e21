import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { useRedis } from '../../support/redis.ts';
import { World } from '../world.ts';
import { RedisError, type Reply } from './reply.ts';
import { SimulatedServer } from './server.ts';

const server = useRedis();
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
afterAll(() => redis.disconnect());

const key = fc.constantFrom('a', 'b');
const text = fc.constantFrom('1', '2', 'x');
const place = fc.integer({ min: -3, max: 3 }).map(String);
const command = fc.oneof(
  fc.tuple(fc.constantFrom('GET', 'INCR', 'SMEMBERS', 'SCARD', 'LLEN', 'HGETALL', 'EXISTS', 'DEL'), key),
  fc.tuple(fc.constantFrom('SET', 'HGET', 'HDEL', 'SADD', 'SREM', 'SISMEMBER', 'LPUSH'), key, text),
  fc.tuple(fc.constant('HSET'), key, text, text),
  fc.tuple(fc.constant('HMGET'), key, text, text),
  fc.tuple(fc.constant('SET'), key, text, fc.constant('NX')),
  fc.tuple(fc.constant('MGET'), key, key),
  fc.tuple(fc.constantFrom('LRANGE', 'LTRIM'), key, place, place),
  fc.tuple(fc.constant('LINDEX'), key, place),
  fc.tuple(fc.constant('EXPIRE'), key, fc.constant('100')),
);

/** What scripts of ours do with values, in one. */
const SCRIPT = `
local held = redis.call('GET', KEYS[1])
if not held then return { 'none', redis.call('HGETALL', KEYS[2]), false } end
local version = cjson.decode(held).version
if version ~= tonumber(ARGV[1]) then return held end
redis.call('HSET', KEYS[2], 'version', ARGV[1], 'none', ARGV[2] - 1)
for _, host in ipairs(cjson.decode(held).hosts) do redis.call('SADD', KEYS[3], host) end
return { version + 0.7, string.format('%d', version * 1000 + math.floor(ARGV[2] / 7)), redis.call('SCARD', KEYS[3]) }
`;

/** Sets have no order, nor have hashes. */
const plain = (reply: unknown): unknown => (Array.isArray(reply) ? reply.map(plain).sort() : reply);

async function ask(words: readonly string[]): Promise<unknown> {
  const [name, ...args] = words;
  return redis.call(name!, ...args).catch((error: Error) => error.message);
}

function simulate(simulated: SimulatedServer, words: readonly string[]): Reply {
  const [name, ...args] = words;
  const reply = simulated.execute(name!, args);
  return reply instanceof RedisError ? reply.message : reply;
}

test('the simulated server answers as Redis does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 25 }), async (commands) => {
      await redis.flushall();
      const simulated = new SimulatedServer(new World(1));
      const pipeline = redis.pipeline();
      for (const [name, ...args] of commands) pipeline.call(name!, ...args);
      const replies = (await pipeline.exec()) ?? [];
      for (const [index, words] of commands.entries()) {
        const [error, reply] = replies[index]!;
        expect(plain(simulate(simulated, words)), words.join(' ')).toEqual(plain(error?.message ?? reply));
      }
    }),
    { numRuns: 150 },
  );
});

test('scripts give the same replies and leave the same behind', async () => {
  await redis.flushall();
  const simulated = new SimulatedServer(new World(1));
  const stored = JSON.stringify({ version: 4, hosts: ['h1', 'h2'], nothing: null, deep: [{ a: true }] });
  const both = [
    ['EVAL', SCRIPT, '3', 'p', 'w', 'h', '4', '15'],
    ['SET', 'p', stored],
    ['EVAL', SCRIPT, '3', 'p', 'w', 'h', '5', '15'],
    ['EVAL', SCRIPT, '3', 'p', 'w', 'h', '4', '15'],
    ['HGETALL', 'w'],
    ['SMEMBERS', 'h'],
  ];
  for (const words of both) {
    expect(plain(simulate(simulated, words)), words[0]).toEqual(plain(await ask(words)));
  }
  const wrong = ['EVAL', "return redis.call('LPUSH', KEYS[1], 'x')", '1', 'p'];
  expect(await ask(wrong)).toContain('WRONGTYPE');
  expect(simulate(simulated, wrong)).toContain('WRONGTYPE');
});

test('streams are read behind an entry, and what a crash takes is what was written since the last second', () => {
  const world = new World(1);
  const simulated = new SimulatedServer(world);
  const run = (...words: readonly string[]) => simulate(simulated, words);
  const ids = ['one', 'two', 'three'].map((event) => run('XADD', 's', '*', 'event', event));
  expect(run('XREAD', 'COUNT', '128', 'STREAMS', 's', 'none', String(ids[0]), '0')).toEqual([
    ['s', [ids[1], ids[2]].map((id, index) => [id, ['event', ['two', 'three'][index]]])],
  ]);
  world.nowMs += 1_500;
  run('XADD', 's', '*', 'event', 'four');
  run('SET', 'new', '1');
  simulated.crash(true);
  simulated.restart();
  expect(simulated.hasLost).toBe(true);
  expect((run('XRANGE', 's', '-', '+') as unknown[]).length).toBe(3);
  expect(run('GET', 'new')).toBeNull();
});
