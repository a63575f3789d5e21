import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { MOST_PLACED_INSTANCES } from '../../shared/replacement/restoration.ts';
import { type Placement, placementHosts } from '../../shared/scheduler/layout.ts';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import { RedisEndpoint } from '../exchange/redis-endpoint.ts';
import { SharedMemoryLink } from '../exchange/shared-memory-link.ts';
import { SocketEndpoint } from '../exchange/socket-endpoint.ts';
import { StepServer } from '../exchange/step-server.ts';
import { GateModel } from '../runtime/gate-model.ts';
import { openModel } from '../runtime/open-model.ts';
import { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import { EXCHANGE_ROW_LIMIT, INSTANCE_OVERDUE_AFTER_MS } from './host-options.ts';
import { planHostKernels } from './kernel-plan.ts';
import type { PlacementBell } from './placement-bell.ts';
import { ServedPlacements } from './served-placements.ts';

/** The instances of the host while they have numbers in a placement. */
export interface Serving {
  /** The placement that they were started with. */
  readonly first: Placement;
  readonly placements: ServedPlacements;
  stop(): Promise<void>;
}

/** Listens for attention hosts of this node and of others, and says where. */
async function listen(
  host: Host,
  placement: Placement,
  shape: LayerStepShape,
  server: StepServer,
): Promise<SocketEndpoint> {
  const { exchange, model } = host.options;
  const { hiddenSize, expertsPerToken } = shape;
  const path = join(tmpdir(), `janus-${host.id}-${placement.version}.sock`);
  const layers = placement.layers.length;
  const served = { model: model.name, hiddenSize, expertsPerToken, layers };
  const sockets = await SocketEndpoint.listen({
    host: host.id,
    shape,
    served,
    server,
    path,
    tcp: exchange.listen,
  });
  const { node, listen } = exchange;
  host.address = { node, path, ...(exchange.advertise ?? { host: listen.host, port: sockets.port! }) };
  return sockets;
}

/** The gates of all layers, on this host's own thread: they are small beside the experts. */
function loadGate(host: Host): GateModel {
  const { config, weights, close } = openModel(host.options.model);
  try {
    return new GateModel(config, weights);
  } finally {
    close();
  }
}

/** Loads this host's share of `placement` and answers frames under it. Nothing is left of what fails. */
export async function servePlacement(
  host: Host,
  bell: PlacementBell,
  placement: Placement,
): Promise<Serving> {
  const { config, options } = host;
  await using parts = new AsyncDisposableStack();
  const shape: LayerStepShape = {
    maxRows: EXCHANGE_ROW_LIMIT,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  const pool = await startPool(host, bell, placement, shape);
  host.experts = pool;
  parts.defer(async () => {
    host.experts = undefined;
    host.placement = undefined;
    await pool.stop();
  });
  const links = openLinks(host, placement, pool);
  const hostIndex = placementHosts(placement).indexOf(host.id);
  const server = new StepServer({
    host: host.id,
    hostIndex,
    shape,
    instances: links,
    placementVersion: placement.version,
  });
  const sockets = await listen(host, placement, shape, server);
  parts.defer(async () => {
    host.address = null;
    await sockets.close();
  });
  const endpoint = new RedisEndpoint({
    host: host.id,
    model: options.model.name,
    hostIndex,
    server,
    receiver: host.redis.duplicate(),
    sender: host.redis,
  });
  parts.defer(() => endpoint.close());
  await host.announce();
  host.log(`expert instances ${pool.instances.map((instance) => instance.id).join(', ')} are ready`);
  const placements = new ServedPlacements({ host: host.id, pool, links, server }, placement);
  const serving = parts.move();
  return { first: placement, placements, stop: () => serving.disposeAsync() };
}

function startPool(
  host: Host,
  bell: PlacementBell,
  placement: Placement,
  shape: LayerStepShape,
): Promise<ExpertPool> {
  // As many lanes as instances, so that steps of several attention hosts keep all instances busy.
  const lanes = placement.instances.filter((instance) => instance.host === host.id).length;
  const placedInstances = Math.max(MOST_PLACED_INSTANCES, placement.instances.length);
  const sizes = { placement, lanes, placedInstances };
  return ExpertPool.start({
    ...sizes,
    host: host.id,
    model: host.options.model,
    shape,
    kernels: planHostKernels(host, { ...sizes, expertRows: EXCHANGE_ROW_LIMIT }),
    log: host.log,
    givenUp: (reason) => host.giveUp(reason),
    changed: () => {
      bell.ring();
      // Others are to know soon which instances serve.
      void host.announce().catch(() => {});
    },
  });
}

/** One link to the host's own instances for each lane. */
function openLinks(host: Host, placement: Placement, pool: ExpertPool): SharedMemoryLink[] {
  const gate = host.options.gate === 'experts' ? loadGate(host) : undefined;
  return pool.shared.lanes.map(
    (_, lane) =>
      new SharedMemoryLink({
        host: host.id,
        memory: openHostMemory(pool.shared),
        lane: openLane(pool.shared, lane),
        placement,
        wait: 'yield',
        overdueAfterMs: INSTANCE_OVERDUE_AFTER_MS,
        ...(gate && { gate: (...step: Parameters<GateModel['route']>) => gate.route(...step) }),
      }),
  );
}
