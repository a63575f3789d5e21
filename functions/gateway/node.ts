import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { type Logger, pino } from 'pino';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { systemClock } from '../clock.ts';
import { createDispatcher } from '../dispatcher/dispatcher.ts';
import { createRegistry } from '../dispatcher/registry.ts';
import { connectRedis } from '../redis-client.ts';
import { createAdmission } from './admission.ts';
import { errorBody, invalid } from './errors.ts';
import { createGateway } from './gateway.ts';
import { randomIds } from './ids.ts';
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from './limits.ts';

/** Longest time, in milliseconds, in which a client may send its headers, and its whole request. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Largest size of all headers of a request, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024;
/** How long `close` lets requests run on. */
const DEFAULT_DRAIN_MS = 10_000;
/** How long `close` then waits for the rest to be told and cancelled. */
const ABORT_GRACE_MS = 1_000;

export interface StartGatewayOptions {
  readonly redisUrl: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly limits?: Partial<GatewayLimits>;
  /** How old the list of models may be, in milliseconds. */
  readonly registryCacheMs?: number;
  /** Default: warnings and errors, as JSON lines on stderr. */
  readonly log?: Pick<Logger, 'warn' | 'error'>;
}

export interface RunningGateway {
  /** The port it listens on. */
  readonly port: number;
  /**
   * Takes no new requests, lets those under way finish for `drainMs` milliseconds, then ends and cancels the rest.
   */
  readonly close: (drainMs?: number) => Promise<void>;
}

/** An error for the log. Redis' errors carry the command that failed, and with it perhaps a password: not that. */
function describe(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, cause } = error;
  return { name, message, stack, ...(cause === undefined ? {} : { cause: describe(cause) }) };
}

/** What Node's parser refuses never reaches a route; it is answered in OpenAI's form all the same. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  let [status, message] = ['400 Bad Request', 'The request is not valid HTTP'];
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    [status, message] = [
      '431 Request Header Fields Too Large',
      `The request's headers are larger than ${MAX_HEADER_BYTES} bytes`,
    ];
  } else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    [status, message] = ['408 Request Timeout', 'The request took too long to arrive'];
  }
  const body = JSON.stringify(errorBody(invalid(null, message)));
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function createHttpServer(app: ReturnType<typeof createGateway>): Server {
  // Hono answers what its routes throw; only a request that cannot be put into a `Request` gets here.
  const badRequest = () =>
    Response.json(errorBody(invalid(null, 'The request is not valid HTTP')), { status: 400 });
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
    },
    getRequestListener(app.fetch, { errorHandler: badRequest }),
  );
  server.on('clientError', answerBrokenRequest);
  return server;
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

/** Waits for `work`, at most `limitMs` milliseconds. */
const within = (work: Promise<void>, limitMs: number): Promise<void> =>
  Promise.race([work, sleep(limitMs, undefined, { ref: false })]);

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
 * @throws {JanusError} when Redis cannot be reached or the port cannot be had
 */
export async function startGateway(options: StartGatewayOptions): Promise<RunningGateway> {
  const log = options.log ?? pino({ name: 'gateway', level: 'warn' }, pino.destination(2));
  const report = (error: unknown, requestId: string) =>
    log.error({ requestId, error: describe(error) }, 'A request failed');
  const redis = await connectRedis(options.redisUrl, (error) =>
    log.warn({ error: describe(error) }, 'Redis failed'),
  );
  const limits = { ...DEFAULT_GATEWAY_LIMITS, ...options.limits };
  const admission = createAdmission(limits.openRequests);
  const dispatcher = createDispatcher(redis);
  const cacheMs = options.registryCacheMs;
  const registry = createRegistry(redis, cacheMs === undefined ? {} : { cacheMs });
  const app = createGateway({
    dispatcher,
    registry,
    limits,
    clock: systemClock,
    ids: randomIds,
    admission,
    report,
  });

  const server = createHttpServer(app);
  const allAnswered = watchAnswers(server);

  const closeConnections = async (): Promise<void> => {
    await dispatcher.close();
    redis.disconnect();
  };
  let port: number;
  try {
    port = await listen(server, options.host, options.port);
  } catch (error) {
    await closeConnections();
    throw error;
  }

  const close = async (drainMs: number): Promise<void> => {
    server.close();
    const left = admission.close();
    await within(left, drainMs);
    admission.abortAll();
    await within(left, ABORT_GRACE_MS);
    await within(allAnswered(), ABORT_GRACE_MS);
    server.closeAllConnections();
    await closeConnections();
  };
  let closing: Promise<void> | undefined;
  return {
    port,
    close(drainMs = DEFAULT_DRAIN_MS) {
      closing ??= close(drainMs);
      return closing;
    },
  };
}
