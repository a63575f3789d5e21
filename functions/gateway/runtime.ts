import type { Hono } from 'hono';
import type { Redis } from 'ioredis';
import type { BatchesDependencies } from '../batches/run-batches.ts';
import type { RunningBatches } from '../batches/start-batches.ts';
import { createDispatcher } from '../dispatcher/dispatcher.ts';
import { createPoolReader } from '../dispatcher/pool-reader.ts';
import { createRegistry } from '../dispatcher/registry.ts';
import type { TokenStreams } from '../dispatcher/token-streams.ts';
import type { GatewayEnvironment } from './dependencies.ts';
import { createGateway, type GatewayOptions } from './gateway.ts';
import { randomIds } from './ids.ts';
import { createResumptions, type Resumptions } from './resumption/resumptions.ts';

/** What is made of a connection to Redis in the same way everywhere. */
type Made = 'dispatcher' | 'registry' | 'batches' | 'pools' | 'resumptions' | 'ids';

/**
 * What the place that a gateway runs in gives to it. Node and Cloudflare Workers differ in this alone: on Node all of it lives
 * as long as the process; a Worker may keep no connection beyond a request, so there the connections, and what is made of
 * them, live as long as one request, and what only counts (`admission`, `metrics`) as long as the isolate.
 */
export interface GatewayRuntime extends Omit<GatewayOptions, Made> {
  /** For commands that do not block. Closed with the gateway. */
  readonly redis: Redis;
  /** How it hears of tokens. Closed with the gateway. */
  readonly streams: TokenStreams;
  /** How old the list of models may be, in milliseconds. */
  readonly registryCacheMs?: number | undefined;
  /** Opens files and batches, closed with the gateway; null where it keeps none. */
  readonly openBatches: (dependencies: BatchesDependencies) => Promise<RunningBatches | null>;
}

export interface OpenGateway {
  readonly app: Hono<GatewayEnvironment>;
  readonly batches: RunningBatches | null;
  readonly resumptions: Resumptions;
  /** Closes its batches and connections. */
  readonly close: () => Promise<void>;
}

/** @throws what `openBatches` throws; the connections are closed then */
export async function openGateway(runtime: GatewayRuntime): Promise<OpenGateway> {
  const { redis, streams, registryCacheMs, openBatches, ...given } = runtime;
  const { limits, clock, report } = given;
  const dispatcher = createDispatcher(redis, { streams });
  const registry = createRegistry(redis, registryCacheMs === undefined ? {} : { cacheMs: registryCacheMs });
  let batches: RunningBatches | null = null;
  const close = async (): Promise<void> => {
    await batches?.close();
    await dispatcher.close();
    redis.disconnect();
  };
  try {
    const working = { redis, dispatcher, registry, clock, ids: randomIds, gatewayLimits: limits, report };
    batches = await openBatches({ ...working, tracer: given.tracer ?? null });
  } catch (error) {
    await close();
    throw error;
  }
  const resumptions = createResumptions(redis, dispatcher, limits);
  const app = createGateway({
    ...given,
    dispatcher,
    registry,
    ids: randomIds,
    batches: batches?.desk ?? null,
    pools: createPoolReader(redis),
    resumptions,
  });
  return { app, batches, resumptions, close };
}
