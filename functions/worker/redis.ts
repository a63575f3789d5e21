import type { Redis } from 'ioredis';
import { describeError } from '../gateway/describe-error.ts';
import { openRedis } from '../redis-client.ts';
import type { Isolate } from './isolate.ts';

/** A client that connects when it is first asked for something, for one request. */
export const openWorkerRedis = ({ settings, log }: Isolate): Redis =>
  openRedis(settings.redisUrl, (error) => log.warn({ error: describeError(error) }, 'Redis failed'));

/** Tells the log of defects and of Redis' failures. */
export const reporter =
  ({ log }: Isolate) =>
  (error: unknown, requestId: string): void =>
    log.error({ requestId, error: describeError(error) }, 'A request failed');
