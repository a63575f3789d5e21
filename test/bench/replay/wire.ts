import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A way to a port of this machine on which all takes a while, in both directions. */
export interface Wire extends AsyncDisposable {
  readonly port: number;
}

/**
 * What is under way is bounded by who sends: an attention instance waits for the answer to one layer step before the next.
 *
 * @param delayMs of each direction, at least: timers of Node count whole milliseconds
 */
export async function openWire(targetPort: number, delayMs: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket.setNoDelay(true));
    // Either side may break off at any time; the other side is told so by the close that follows.
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    return socket;
  };
  const server = createServer((client) => {
    const target = keep(connect(targetPort, '127.0.0.1'));
    deliver(keep(client), target, delayMs);
    deliver(target, client, delayMs);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** Timers of the same length run in the order in which they were set, so bytes stay in order. */
function deliver(from: Socket, to: Socket, delayMs: number): void {
  from.on('data', (bytes: Buffer) => setTimeout(() => to.write(bytes), delayMs));
  from.once('close', () => setTimeout(() => to.destroy(), delayMs));
}
