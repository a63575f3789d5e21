import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { type Logger, pino } from 'pino';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import { type BatchSettings, startBatches } from '../batches/start-batches.ts';
import { type Clock, systemClock } from '../clock.ts';
import { createDoorbellStreams } from '../dispatcher/doorbell-streams.ts';
import { connectRedis } from '../redis-client.ts';
import { createAccess } from './access/access.ts';
import { anyKeyExists } from './access/key-store.ts';
import { checkListening, type Listening, mayBeAnonymous } from './access/listening.ts';
import { createAdmission } from './admission.ts';
import { describeError } from './describe-error.ts';
import { createHttpServer, DEFAULT_HTTP_TIMEOUTS, type HttpTimeouts } from './http-server.ts';
import { randomIds } from './ids.ts';
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from './limits.ts';
import { DEFAULT_LOG_LEVEL, type LogLevel } from './log-level.ts';
import { watchAbandoned } from './resumption/resumptions.ts';
import { openGateway } from './runtime.ts';

/** How long `close` lets requests run on. */
export const DEFAULT_DRAIN_MS = 10_000;
/** How long `close` then waits for the rest to be told and cancelled. */
const ABORT_GRACE_MS = 1_000;

export interface StartGatewayOptions {
  readonly redisUrl: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Lets everybody in where no API key exists, also on an address that other machines reach. Default: false. */
  readonly allowAnonymous?: boolean;
  /** Origins whose scripts browsers let read answers. Default: none. */
  readonly corsOrigins?: readonly string[];
  readonly limits?: Partial<GatewayLimits>;
  /** Keeps files and runs batches. Default: neither. */
  readonly files?: BatchSettings | undefined;
  /** Told of requests that are traced; not closed with the gateway. Default: none is. */
  readonly tracer?: Tracer | null;
  readonly clock?: Clock;
  readonly timeouts?: Partial<HttpTimeouts>;
  /** How old the list of models may be, in milliseconds. */
  readonly registryCacheMs?: number;
  /** Default: JSON lines on stderr, as far as `logLevel` wants them. One without `info` is not told of requests. */
  readonly log?: Pick<Logger, 'warn' | 'error'> & Partial<Pick<Logger, 'info'>>;
  /** Default: warnings and errors. */
  readonly logLevel?: LogLevel | undefined;
}

export interface RunningGateway {
  /** The port it listens on. */
  readonly port: number;
  /**
   * Takes no new generations, lets those under way finish for `drainMs` milliseconds, then ends and cancels the rest.
   *
   * @param noticeMs part of this time, at its beginning, in which the port stays open: `/ready` and new generations are
   *   answered with 503, so that load balancers turn away before connections fail. Default: 0.
   */
  readonly close: (drainMs?: number, noticeMs?: number) => Promise<void>;
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new JanusError(`Port ${port} on ${host} is in use already: choose another one with --port`);
    }
    throw new JanusError(
      `Cannot listen on ${host} port ${port} (${message}): choose others with --host and --port`,
    );
  }
  server.off('error', reject);
  return (server.address() as AddressInfo).port;
}

/** @throws {JanusError} when the gateway would listen to other machines, and there is no key for them; Redis is left then */
async function requireKeyOrLoopback(redis: Redis, listening: Listening): Promise<void> {
  try {
    checkListening(listening, await anyKeyExists(redis));
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

/** Waits for `work`, at most `limitMs` milliseconds. */
const within = (work: Promise<void>, limitMs: number): Promise<void> =>
  Promise.race([work, sleep(limitMs, undefined, { ref: false })]);

/** Ends the connection behind every answer to a request that comes while `draining`, so that the next one goes elsewhere. */
function sendAwayWhile(server: Server, draining: () => boolean): void {
  server.prependListener('request', (_, response) => {
    if (draining()) response.setHeader('Connection', 'close');
  });
}

/** Tells when no request is being answered: Node itself counts a connection that never sent one as busy. */
function watchAnswers(server: Server): () => Promise<void> {
  let open = 0;
  let whenNone = () => {};
  server.on('request', (_, response) => {
    open += 1;
    response.once('close', () => {
      open -= 1;
      if (open === 0) whenNone();
    });
  });
  return async () => {
    if (open === 0) return;
    await new Promise<void>((resolve) => {
      whenNone = resolve;
    });
  };
}

/**
 * Runs the gateway in this process.
 *
 * @throws {JanusError} when Redis cannot be reached, the port cannot be had, or other machines reach it and no key exists
 */
export async function startGateway(options: StartGatewayOptions): Promise<RunningGateway> {
  const level = options.logLevel ?? DEFAULT_LOG_LEVEL;
  const log = options.log ?? pino({ name: 'gateway', level }, pino.destination(2));
  const report = (error: unknown, requestId: string) =>
    log.error({ requestId, error: describeError(error) }, 'A request failed');
  const redis = await connectRedis(options.redisUrl, (error) =>
    log.warn({ error: describeError(error) }, 'Redis failed'),
  );
  const listening = { host: options.host, allowAnonymous: options.allowAnonymous ?? false };
  await requireKeyOrLoopback(redis, listening);
  const limits = { ...DEFAULT_GATEWAY_LIMITS, ...options.limits };
  const admission = createAdmission(limits.openRequests);
  const streams = await createDoorbellStreams(redis, randomIds.requestId()).catch((error: unknown) => {
    redis.disconnect();
    throw error;
  });
  const { files } = options;
  const { app, batches, resumptions, ...gateway } = await openGateway({
    redis,
    streams,
    registryCacheMs: options.registryCacheMs,
    limits,
    clock: options.clock ?? systemClock,
    admission,
    access: createAccess(redis, { anonymous: mayBeAnonymous(listening) }),
    corsOrigins: options.corsOrigins ?? [],
    tracer: options.tracer ?? null,
    openBatches: async (dependencies) => (files === undefined ? null : startBatches(files, dependencies)),
    accessLog: (entry) => log.info?.(entry, 'A request ended'),
    report,
  });

  const timeouts = { ...DEFAULT_HTTP_TIMEOUTS, ...options.timeouts };
  const server = createHttpServer(app, timeouts, batches !== null);
  sendAwayWhile(server, admission.closed);
  const allAnswered = watchAnswers(server);

  let port: number;
  try {
    port = await listen(server, options.host, options.port);
  } catch (error) {
    await gateway.close();
    throw error;
  }

  const endWatch = watchAbandoned(resumptions, limits);
  const close = async (drainMs: number, noticeMs: number): Promise<void> => {
    // Other gateways go on with its batches at once.
    const handedOver = batches?.close();
    const left = admission.close();
    const drained = within(left, drainMs);
    if (noticeMs > 0) await sleep(noticeMs);
    server.close();
    await drained;
    admission.abortAll();
    await within(left, ABORT_GRACE_MS);
    await within(allAnswered(), ABORT_GRACE_MS);
    server.closeAllConnections();
    await handedOver;
    endWatch();
    await gateway.close();
  };
  let closing: Promise<void> | undefined;
  return {
    port,
    close(drainMs = DEFAULT_DRAIN_MS, noticeMs = 0) {
      closing ??= close(drainMs, noticeMs);
      return closing;
    },
  };
}
