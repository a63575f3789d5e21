import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What one connection sends. */
export interface Shape {
  readonly name: string;
  /** Sent one after the other, with a moment between them. */
  readonly pieces: readonly Buffer[];
  /** Whether it says then that nothing more will come. */
  readonly halfCloses?: boolean;
}

export interface RawAnswer {
  readonly status: number;
  /** As far as it came. */
  readonly body: string;
}

export interface Exchange {
  readonly answers: readonly RawAnswer[];
  /** Neither answered nor ended within the time that it had. */
  readonly hung: boolean;
}

const BETWEEN_PIECES_MS = 5;
/** An answer behind which nothing came for so long was the last one. */
const QUIET_MS = 60;
const LAST_INFORMATIONAL = 199;
/** A status line stands at the beginning, or behind the body of the answer before. */
const STATUS_LINE = /HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/g;

export const open = (port: number): Socket => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  // It is the server's to end connections as it likes.
  socket.on('error', () => {});
  return socket;
};

/** The answers in what a server sent; those that only ask for the body are left out. */
export function answersIn(received: string): RawAnswer[] {
  const starts = [...received.matchAll(STATUS_LINE)];
  return starts
    .map((start, position): RawAnswer => {
      const text = received.slice(start.index, starts[position + 1]?.index);
      const end = text.indexOf('\r\n\r\n');
      return { status: Number(start[1]), body: end < 0 ? '' : text.slice(end + 4) };
    })
    .filter(({ status }) => status > LAST_INFORMATIONAL);
}

/** Sends a shape on a connection of its own, and ends it when all is said. */
export async function exchange(port: number, shape: Shape, limitMs: number): Promise<Exchange> {
  const socket = open(port);
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const limit = setTimeout(() => resolve(true), limitMs);
  let quiet: NodeJS.Timeout | undefined;
  let received = '';
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
    clearTimeout(quiet);
    if (answersIn(received).length > 0) quiet = setTimeout(() => resolve(false), QUIET_MS);
  });
  socket.once('end', () => resolve(false));
  socket.once('close', () => resolve(false));
  for (const [position, piece] of shape.pieces.entries()) {
    if (position > 0) await sleep(BETWEEN_PIECES_MS);
    if (socket.writable) socket.write(piece);
  }
  if (shape.halfCloses) socket.end();
  const hung = await over;
  clearTimeout(limit);
  clearTimeout(quiet);
  socket.destroy();
  return { answers: answersIn(received), hung };
}
