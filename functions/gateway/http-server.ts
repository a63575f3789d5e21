import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { errorBody, invalid } from './errors.ts';
import type { OpenGateway } from './runtime.ts';

/** How long clients may take, in milliseconds. */
export interface HttpTimeouts {
  /** For the headers of a request. */
  readonly headersMs: number;
  /** For a whole request. */
  readonly requestMs: number;
  /** For a whole request that uploads a file, which is a matter of the client's line. */
  readonly uploadMs: number;
  /** How often connections are looked at for it: one may last so much longer. */
  readonly checkMs: number;
}

export const DEFAULT_HTTP_TIMEOUTS: HttpTimeouts = {
  headersMs: 10_000,
  requestMs: 60_000,
  uploadMs: 15 * 60_000,
  checkMs: 2_000,
};
/** Largest size of all headers of a request, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024;
/** What is left of a request that was refused is taken for this long, so that its sender gets to read why. */
const LINGER_MS = 500;
/** Stands in for the `Host` that requests of HTTP/1.0, as some probes send them, need not have. */
const DEFAULT_HOST = 'localhost';

const UPLOAD_PATH = '/v1/files';

/** Answers that are under way on each connection: requests may come before the answers of others have ended. */
type OpenAnswers = WeakMap<Socket, Set<ServerResponse>>;

function watchOpenAnswers(server: Server): OpenAnswers {
  const open: OpenAnswers = new WeakMap();
  server.prependListener('request', ({ socket }, response) => {
    const answers = open.get(socket) ?? new Set<ServerResponse>();
    open.set(socket, answers.add(response));
    response.once('close', () => answers.delete(response));
  });
  return open;
}

function refusalOf(error: NodeJS.ErrnoException): readonly [status: string, message: string] {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return [
      '431 Request Header Fields Too Large',
      `The request's headers are larger than ${MAX_HEADER_BYTES} bytes`,
    ];
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return ['408 Request Timeout', 'The request took too long to arrive'];
  }
  return ['400 Bad Request', 'The request is not valid HTTP'];
}

/**
 * What Node's parser refuses never reaches a route; it is answered in OpenAI's form all the same, and its connection ended: a
 * client that goes on sending must not keep it.
 */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket, open: OpenAnswers): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  // An answer that has begun must not have another one in its middle.
  if ([...(open.get(socket) ?? [])].some(({ headersSent }) => headersSent)) {
    socket.destroy();
    return;
  }
  const [status, message] = refusalOf(error);
  const body = JSON.stringify(errorBody(invalid(null, message)));
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const lingering = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(lingering));
}

/** Of all that a client may expect, Node knows `100-continue` alone. */
function refuseExpectation(_: IncomingMessage, response: ServerResponse): void {
  const error = invalid('expect', "Invalid 'expect': only 100-continue is supported");
  const body = JSON.stringify(errorBody(error));
  const head = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  response.writeHead(417, { ...head, Connection: 'close' }).end(body);
}

const isUpload = ({ method, url }: IncomingMessage): boolean =>
  method === 'POST' && url !== undefined && url.startsWith(UPLOAD_PATH);

/** Node has one limit for all requests, that of uploads; the others have their own here. */
function limitOtherRequests(server: Server, requestMs: number, refuse: (socket: Socket) => void): void {
  server.prependListener('request', (request) => {
    if (isUpload(request)) return;
    const timer = setTimeout(() => {
      if (!request.complete) refuse(request.socket);
    }, requestMs).unref();
    request.once('close', () => clearTimeout(timer));
  });
}

/** @param takesUploads whether requests that upload files may take longer */
export function createHttpServer(
  app: OpenGateway['app'],
  timeouts: HttpTimeouts,
  takesUploads: boolean,
): Server {
  // Hono answers what its routes throw; only a request that cannot be put into a `Request` gets here.
  const errorHandler = () =>
    Response.json(errorBody(invalid(null, 'The request is not valid HTTP')), { status: 400 });
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeouts.headersMs,
      requestTimeout: takesUploads ? timeouts.uploadMs : timeouts.requestMs,
      connectionsCheckingInterval: timeouts.checkMs,
    },
    getRequestListener(app.fetch, { errorHandler, hostname: DEFAULT_HOST }),
  );
  server.on('checkExpectation', refuseExpectation);
  const open = watchOpenAnswers(server);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    answerBrokenRequest(error, socket as Socket, open),
  );
  if (takesUploads) {
    const late = Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
    limitOtherRequests(server, timeouts.requestMs, (socket) => answerBrokenRequest(late, socket, open));
  }
  return server;
}
