import { allocateSharedExchange, openHostMemory, openLane } from '../../../gpu-pool/exchange/lane-memory.ts';
import { SharedMemoryLink } from '../../../gpu-pool/exchange/shared-memory-link.ts';
import { type Reply, StepServer } from '../../../gpu-pool/exchange/step-server.ts';
import { hostKey } from '../../../shared/protocol/keys.ts';
import type { LayerStepShape } from '../../../shared/protocol/layer-step.ts';
import { type Placement, placementHosts } from '../../../shared/scheduler/layout.ts';
import { InstanceThreads } from './instance-threads.ts';

/** What an expert host in another thread or process is started with. */
export interface PeerOptions {
  /** Redis that it serves: URL, or path of a Unix socket. */
  readonly redis?: string;
  /** Sockets that it listens on: path of a Unix socket, or a free TCP port of loopback. */
  readonly socket?: { readonly path: string } | 'tcp';
  readonly host: string;
  readonly placement: Placement;
  readonly shape: LayerStepShape;
  readonly behaviour: SharedArrayBuffer;
  /** Sends every answer twice. */
  readonly doubleAnswers?: boolean;
  /** Name of its connections in Redis' list of clients. */
  readonly connectionName?: string;
}

const HEARTBEAT_INTERVAL_MS = 50;
/** Longer than a busy machine keeps a thread from its work. */
const HEARTBEAT_TTL_MS = 600;
/** Over the bounds that the tests give to their links, so that it is the link which gives up. */
const INSTANCE_OVERDUE_AFTER_MS = 20_000;

/**
 * Starts an expert host as `start-experts` does, but with test experts; it lives as long as its thread or process.
 *
 * @returns port that it listens on; null where it does not listen for TCP
 */
export async function startPeer(options: PeerOptions): Promise<number | null> {
  const { host, placement, shape, behaviour } = options;
  const ids = placement.instances.filter((instance) => instance.host === host).map(({ id }) => id);
  const laneOptions = {
    shape,
    instances: ids.length,
    placedInstances: placement.instances.length,
    experts: placement.experts,
  };
  const shared = allocateSharedExchange(host, ids[0]!, laneOptions, 1);
  // Memory that was never written is slower to read; real experts write it.
  openLane(shared, 0).outputs.fill(0.5);
  await InstanceThreads.start(shared, placement.version, behaviour);
  const instances = new SharedMemoryLink({
    host,
    memory: openHostMemory(shared),
    lane: openLane(shared, 0),
    placement,
    wait: 'yield',
    overdueAfterMs: INSTANCE_OVERDUE_AFTER_MS,
  });
  const Server = options.doubleAnswers ? DoublingServer : StepServer;
  const server = new Server({
    host,
    hostIndex: placementHosts(placement).indexOf(host),
    shape,
    instances: [instances],
    placementVersion: placement.version,
  });
  if (options.redis !== undefined) await serveRedis(options, options.redis, server);
  return options.socket === undefined ? null : serveSocket(options, options.socket, server);
}

/** Loads what it needs, since tests start hundreds of peers and most of their time is loading. */
async function serveRedis(options: PeerOptions, redis: string, server: StepServer): Promise<void> {
  const { Redis } = await import('ioredis');
  const { RedisEndpoint } = await import('../../../gpu-pool/exchange/redis-endpoint.ts');
  const { host, connectionName } = options;
  const { model } = options.placement;
  const connect = () => {
    const connection = new Redis(redis, {
      maxRetriesPerRequest: null,
      ...(connectionName && { connectionName }),
    });
    connection.on('error', () => {});
    return connection;
  };
  const sender = connect();
  const beat = () => sender.set(hostKey(model, host), '{}', 'PX', HEARTBEAT_TTL_MS);
  await beat();
  setInterval(() => void beat().catch(() => {}), HEARTBEAT_INTERVAL_MS);
  const hostIndex = placementHosts(options.placement).indexOf(host);
  new RedisEndpoint({ host, model, hostIndex, server, receiver: connect(), sender: connect() });
}

async function serveSocket(
  { host, placement, shape }: PeerOptions,
  socket: NonNullable<PeerOptions['socket']>,
  server: StepServer,
): Promise<number | null> {
  const { hiddenSize, expertsPerToken } = shape;
  const { model, layers } = placement;
  const { SocketEndpoint } = await import('../../../gpu-pool/exchange/socket-endpoint.ts');
  const endpoint = await SocketEndpoint.listen({
    host,
    shape,
    served: { model, hiddenSize, expertsPerToken, layers: layers.length },
    server,
    path: socket === 'tcp' ? null : socket.path,
    tcp: socket === 'tcp' ? { host: '127.0.0.1', port: 0 } : null,
  });
  return endpoint.port;
}

/** Sends every answer twice. */
class DoublingServer extends StepServer {
  override serve(frame: Buffer, reply: Reply): Promise<void> {
    return super.serve(frame, async (request, answer) => {
      const again = Buffer.from(answer);
      await reply(request, answer);
      await reply(request, again);
    });
  }
}
