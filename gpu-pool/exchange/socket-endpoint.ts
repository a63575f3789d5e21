import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { dispatchBytes } from '../../shared/protocol/frame.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { FrameSocket } from './frame-socket.ts';
import { decodeHello, encodeHandshake, HANDSHAKE_LIMIT_BYTES, refusal, type Served } from './handshake.ts';
import type { StepServer } from './step-server.ts';

/** Attention instances that may be connected at once; each connection holds memory for one frame. */
const CONNECTION_LIMIT = 256;
/** Longest wait for the first frame of a connection. */
const HELLO_LIMIT_MS = 2_000;

export interface SocketEndpointOptions {
  readonly host: string;
  readonly shape: LayerStepShape;
  readonly served: Served;
  readonly server: StepServer;
  /** Path of a Unix socket, for attention hosts on this node. */
  readonly path: string | null;
  /** TCP address to listen on, for those on others; port 0 takes any free one. */
  readonly tcp: { readonly host: string; readonly port: number } | null;
}

/** The expert host's end of `SocketLink`: accepts connections, checks that both serve the same model, and serves their frames. */
export class SocketEndpoint {
  /** Port that it listens on for TCP; null when it does not. */
  readonly port: number | null;
  readonly #options: SocketEndpointOptions;
  readonly #servers: readonly Server[];
  readonly #connections = new Set<FrameSocket>();

  private constructor(options: SocketEndpointOptions, servers: readonly Server[], port: number | null) {
    this.#options = options;
    this.#servers = servers;
    this.port = port;
    for (const server of servers) server.on('connection', (socket) => this.#accept(socket));
  }

  /** @throws when it cannot listen at one of its addresses */
  static async listen(options: SocketEndpointOptions): Promise<SocketEndpoint> {
    const servers: Server[] = [];
    let port: number | null = null;
    if (options.path !== null) servers.push(await listen({ path: options.path }));
    if (options.tcp !== null) {
      const server = await listen(options.tcp);
      port = (server.address() as AddressInfo).port;
      servers.push(server);
    }
    return new SocketEndpoint(options, servers, port);
  }

  #accept(socket: Socket): void {
    const { shape } = this.#options;
    const limit = Math.max(dispatchBytes(shape.maxRows, shape), HANDSHAKE_LIMIT_BYTES);
    const late = setTimeout(() => socket.destroy(), HELLO_LIMIT_MS);
    const connection = new FrameSocket(
      socket,
      limit,
      (frame) => {
        clearTimeout(late);
        this.#greet(connection, frame);
      },
      () => {
        clearTimeout(late);
        this.#connections.delete(connection);
      },
    );
    this.#connections.add(connection);
  }

  #greet(connection: FrameSocket, frame: Buffer): void {
    const { host, served } = this.#options;
    const refused = this.#refusal(frame, served);
    if (refused !== undefined) {
      connection.send(encodeHandshake({ refused }));
      connection.end();
      return;
    }
    let busy = false;
    connection.receive((step) => {
      // The frame lies in the connection's memory until it is answered; a second one would overwrite it.
      if (busy) return connection.destroy();
      busy = true;
      void this.#options.server.serve(step, (_, answer) => {
        busy = false;
        return new Promise((resolve) => {
          connection.send(answer, resolve);
        });
      });
    });
    connection.answerProbes();
    connection.send(encodeHandshake({ host }));
  }

  #refusal(frame: Buffer, served: Served): string | undefined {
    if (this.#connections.size > CONNECTION_LIMIT) {
      return `${CONNECTION_LIMIT} attention instances are connected already`;
    }
    try {
      return refusal(decodeHello(frame), served);
    } catch {
      return 'its first frame is no hello of this protocol';
    }
  }

  /** Accepts nobody any more, and ends all connections once what is under way is answered. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => {
      server.close();
      return once(server, 'close');
    });
    await this.#options.server.idle;
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(closed);
  }
}

async function listen(address: { path: string } | { host: string; port: number }): Promise<Server> {
  const server = createServer();
  server.listen(address);
  await once(server, 'listening');
  return server;
}
