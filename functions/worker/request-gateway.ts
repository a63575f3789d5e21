import { TrieRouter } from 'hono/router/trie-router';
import type { Redis } from 'ioredis';
import type { RunningBatches } from '../batches/start-batches.ts';
import { createWorkerBatches } from '../batches/worker-batches.ts';
import { systemClock } from '../clock.ts';
import { ask } from '../dispatcher/ask.ts';
import { createConnectionPool } from '../dispatcher/connections.ts';
import { createBlockingStreams } from '../dispatcher/token-streams.ts';
import { type Access, createAccess } from '../gateway/access/access.ts';
import { anyKeyExists } from '../gateway/access/key-store.ts';
import { type OpenGateway, openGateway } from '../gateway/runtime.ts';
import { closedAccess } from './closed-access.ts';
import type { Isolate } from './isolate.ts';
import { openWorkerRedis, reporter } from './redis.ts';
import type { WorkerBindings } from './settings.ts';

/** A request reads one token stream, one command at a time. */
const BLOCKING_CONNECTIONS = { connections: 1, waiting: 1 };

function openAccess(redis: Redis, anonymous: boolean): Access {
  const access = createAccess(redis, { anonymous });
  return anonymous ? access : closedAccess(access, () => ask(anyKeyExists(redis)));
}

/**
 * A gateway for one request. Its connections are made when they are first needed: most errors need none, only an answer that
 * is generated needs the second one.
 */
export function openRequestGateway(isolate: Isolate, { FILES }: WorkerBindings): Promise<OpenGateway> {
  const { settings, log, admission, metrics, batchMetrics, uploads } = isolate;
  const redis = openWorkerRedis(isolate);
  return openGateway({
    redis,
    // Built for one request, it must be built fast.
    router: new TrieRouter(),
    streams: createBlockingStreams(createConnectionPool(redis, BLOCKING_CONNECTIONS)),
    limits: settings.limits,
    clock: systemClock,
    admission,
    metrics,
    access: openAccess(redis, settings.allowAnonymous),
    corsOrigins: settings.corsOrigins,
    async openBatches({ ids }): Promise<RunningBatches | null> {
      if (FILES === undefined) return null;
      // A cron trigger runs them (on-schedule.ts).
      const desk = createWorkerBatches({ bucket: FILES, redis, ids, metrics: batchMetrics, uploads });
      return { desk, close: async () => {} };
    },
    accessLog: (entry) => log.info(entry, 'A request ended'),
    report: reporter(isolate),
  });
}
