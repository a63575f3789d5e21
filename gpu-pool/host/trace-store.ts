import type { Redis } from 'ioredis';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { decodeTraces, encodeTrace, MERGED_WINDOW_ROWS } from '../../shared/placement/trace-codec.ts';
import {
  ACTIVATION_TRACE_TTL_MS,
  activationTraceKey,
  activationTraceTimesKey,
} from '../../shared/protocol/keys.ts';
import { readTraceMemory, type TraceMemory } from '../attention/trace-sampler.ts';

export const TRACE_STORE_INTERVAL_MS = 5_000;

/**
 * Stores the window of one attention instance and drops those of instances that have stopped to store theirs.
 *
 * KEYS 1 windows, 2 times. ARGV 1 instance, 2 window, 3 time to live in ms. Time is that of Redis, so hosts' clocks do not
 * matter.
 */
const STORE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])) do
  redis.call('HDEL', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
`;

/** Stores what the attention instance `instance` saw in place of what it stored before. */
export async function storeTrace(
  redis: Redis,
  model: string,
  instance: string,
  trace: ActivationTrace,
  ttlMs = ACTIVATION_TRACE_TTL_MS,
): Promise<void> {
  const keys = [activationTraceKey(model), activationTraceTimesKey(model)];
  await redis.eval(STORE, 2, ...keys, instance, Buffer.from(encodeTrace(trace)), ttlMs);
}

/**
 * The routing that a model's attention instances saw of late, as one trace; null when none was stored.
 *
 * @throws JanusError when a stored window is broken, or windows of different models lie under one name
 */
export async function readTrace(
  redis: Redis,
  model: string,
  windowRows = MERGED_WINDOW_ROWS,
): Promise<ActivationTrace | null> {
  return decodeTraces(await redis.hgetallBuffer(activationTraceKey(model)), windowRows);
}

export interface TraceStoringOptions {
  readonly redis: Redis;
  readonly model: string;
  /** The host's attention instances of the moment, by id. */
  readonly windows: () => Iterable<readonly [instance: string, memory: TraceMemory]>;
  readonly intervalMs?: number;
}

/**
 * Stores the windows of a host's attention instances at intervals. One that has seen nothing stores nothing. A store that
 * fails is made up for by the next.
 *
 * @returns ends it; resolves when no store is under way
 */
export function startTraceStoring(options: TraceStoringOptions): () => Promise<void> {
  const { redis, model, windows, intervalMs = TRACE_STORE_INTERVAL_MS } = options;
  let underWay: Promise<void> | undefined;
  const storeAll = async (): Promise<void> => {
    for (const [instance, memory] of windows()) {
      const trace = readTraceMemory(memory);
      const seen = Array.from({ length: trace.shape.layers }, (_, layer) => trace.rows(layer));
      if (Math.max(...seen) > 0) await storeTrace(redis, model, instance, trace);
    }
  };
  const timer = setInterval(() => {
    underWay ??= storeAll()
      .catch(() => {})
      .finally(() => {
        underWay = undefined;
      });
  }, intervalMs);
  return async () => {
    clearInterval(timer);
    await underWay;
  };
}
