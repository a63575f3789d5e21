import { setTimeout as sleep } from 'node:timers/promises';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import { RedisEndpoint } from '../exchange/redis-endpoint.ts';
import { SharedMemoryLink } from '../exchange/shared-memory-link.ts';
import { StepServer } from '../exchange/step-server.ts';
import { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import { OVERDUE_AFTER_MS } from './host-options.ts';
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
      const placement = await readInForce(host);
      if (placement !== null && placement.version !== serving?.version) {
        await serving?.stop();
        serving = { version: placement.version, stop: await servePlacement(host, placement) };
      }
      await sleep(POLL_MS);
    }
  })().catch((error) => host.log(`expert pool: ${error.message}`));
  host.log(`${host.options.expertInstances} expert instances wait for a placement`);
  host.onClose(async () => {
    closed = true;
    await follow;
    await serving?.stop();
  });
}

/** The placement in force, or null when there is none that names this host, or Redis is away. */
async function readInForce(host: Host): Promise<Placement | null> {
  try {
    const placement = await readPlacement(host.redis, host.options.model.name);
    return placement?.instances.some((instance) => instance.host === host.id) ? placement : null;
  } catch {
    return null;
  }
}

/** Loads this host's share of `placement` and answers frames under it; returns how to stop. */
async function servePlacement(host: Host, placement: Placement): Promise<() => Promise<void>> {
  const { config, options } = host;
  const shape: LayerStepShape = {
    maxRows: options.limits.tokenBudget,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  const pool = await ExpertPool.start(host.id, placement, options.model, shape, 1, (instance) =>
    host.log(`expert instance ${instance} ended unexpectedly`),
  );
  host.experts = pool;
  const instances = new SharedMemoryLink({
    host: host.id,
    memory: openHostMemory(pool.shared),
    lane: openLane(pool.shared, 0),
    placement,
    wait: 'yield',
    overdueAfterMs: OVERDUE_AFTER_MS,
  });
  const server = new StepServer({ host: host.id, shape, instances, placementVersion: placement.version });
  const endpoint = new RedisEndpoint({
    host: host.id,
    model: options.model.name,
    server,
    receiver: host.redis.duplicate(),
    sender: host.redis,
  });
  await host.announce();
  host.log(`expert instances ${pool.instances.map((instance) => instance.id).join(', ')} are ready`);
  return async () => {
    await endpoint.close();
    await pool.stop();
    host.experts = undefined;
  };
}
