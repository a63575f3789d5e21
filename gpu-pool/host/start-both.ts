import { staticPlacement } from '../../shared/placement/placement.ts';
import { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import { capacityOf, OVERDUE_AFTER_MS } from './host-options.ts';
import { publishPlacement, readPlacement } from './placement-store.ts';
import { startAttentionPool } from './start-attention-pool.ts';

/** Starts attention and expert instances in one host, joined by shared memory, or the monolith. */
export async function startBoth(host: Host): Promise<void> {
  const { options, config } = host;
  const local = options.monolith ? null : await startLocalExperts(host);
  await startAttentionPool(host, (lane) => {
    if (local === null) return { kind: 'monolith' };
    const { placement, experts } = local;
    return { kind: 'local', placement, shared: experts.shared, lane, overdueAfterMs: OVERDUE_AFTER_MS };
  });
  host.log(`model ${options.model.name} is ready: ${config.layers} layers, ${config.experts} experts`);
}

async function startLocalExperts(host: Host) {
  const { options, config } = host;
  const { name: model } = options.model;
  const from = (await readPlacement(host.redis, model))?.version ?? 0;
  const placement = staticPlacement({
    version: from + 1,
    model,
    layers: config.layers,
    experts: config.experts,
    instances: Array.from({ length: options.expertInstances }, (_, id) => ({ id, host: host.id })),
    capacity: capacityOf(options, config, options.expertInstances),
    scheduling: { scheduler: options.scheduler },
  });
  const shape = {
    maxRows: options.limits.tokenBudget,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  host.experts = await ExpertPool.start(
    host.id,
    placement,
    options.model,
    shape,
    options.attentionInstances,
    (instance) => host.log(`expert instance ${instance} ended unexpectedly`),
  );
  await publishPlacement(host.redis, placement, from);
  return { placement, experts: host.experts };
}
