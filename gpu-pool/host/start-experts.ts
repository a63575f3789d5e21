import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
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
import { readPlacement } from './placement-store.ts';

/** Pause between two looks at the placement. */
const POLL_MS = 200;

/**
 * Starts the expert instances of a host that serves attention hosts elsewhere. What they hold is decided by the placement
 * in force; the host follows it from version to version, and offers its instances while none includes it.
 */
export async function startExperts(host: Host): Promise<void> {
  let closed = false;
  let serving: { version: number; stop: () => Promise<void> } | undefined;
  const follow = (async () => {
    while (!closed) {
      try {
        const placement = await readInForce(host);
        if (placement !== null && placement.version !== serving?.version) {
          await serving?.stop();
          serving = undefined;
          serving = { version: placement.version, stop: await servePlacement(host, placement) };
        }
      } catch (error) {
        // It is tried again: what failed may pass, and a pool that waits for this host must not wait for ever.
        host.log(`expert pool: ${error instanceof Error ? error.message : String(error)}`);
      }
      await sleep(POLL_MS);
    }
  })();
  host.log(`${host.options.expertInstances} expert instances wait for a placement`);
  host.onClose(async () => {
    closed = true;
    await follow;
    await serving?.stop();
  });
}

/** The placement in force, or null when there is none that names this host. */
async function readInForce(host: Host): Promise<Placement | null> {
  const placement = await readPlacement(host.redis, host.options.model.name);
  return placement?.instances.some((instance) => instance.host === host.id) ? placement : null;
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

/** Loads this host's share of `placement` and answers frames under it; returns how to stop. Nothing is left of what fails. */
async function servePlacement(host: Host, placement: Placement): Promise<() => Promise<void>> {
  const { config, options } = host;
  await using parts = new AsyncDisposableStack();
  const shape: LayerStepShape = {
    maxRows: EXCHANGE_ROW_LIMIT,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  // As many lanes as instances, so that steps of several attention hosts keep all instances busy.
  const lanes = placement.instances.filter((instance) => instance.host === host.id).length;
  const kernels = planHostKernels(host, { placement, expertRows: EXCHANGE_ROW_LIMIT });
  const pool = await ExpertPool.start(
    host.id,
    placement,
    options.model,
    shape,
    lanes,
    (instance, reason) => host.log(`expert instance ${instance} ended unexpectedly: ${reason}`),
    kernels,
  );
  host.experts = pool;
  parts.defer(async () => {
    host.experts = undefined;
    await pool.stop();
  });
  const gate = options.gate === 'experts' ? loadGate(host) : undefined;
  const instances = pool.shared.lanes.map(
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
  const hostIndex = placementHosts(placement).indexOf(host.id);
  const server = new StepServer({
    host: host.id,
    hostIndex,
    shape,
    instances,
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
  const serving = parts.move();
  return () => serving.disposeAsync();
}
