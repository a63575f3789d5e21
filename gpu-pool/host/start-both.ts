import { staticPlacement } from '../../shared/placement/placement.ts';
import { AttentionPool } from './attention-pool.ts';
import { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import { capacityOf, OVERDUE_AFTER_MS } from './host-options.ts';
import { publishPlacement, readPlacement } from './placement-store.ts';

/** Starts attention and expert instances in one host, joined by shared memory, or the monolith. */
export async function startBoth(host: Host): Promise<void> {
  const { options, config } = host;
  const local = options.monolith ? null : await startLocalExperts(host);
  host.attention = await AttentionPool.start({
    host: host.id,
    model: options.model,
    limits: options.limits,
    redis: host.redis,
    redisUrl: options.redisUrl,
    instances: options.attentionInstances,
    gate: options.gate,
    traceShape: config,
    experts: (lane) =>
      local === null
        ? { kind: 'monolith' }
        : {
            kind: 'pool',
            placement: local.placement,
            local: { shared: local.experts.shared, lane },
            redisUrl: options.redisUrl,
            mode: options.exchange.mode,
            node: options.exchange.node,
            addresses: {},
            round: null,
            overdueAfterMs: OVERDUE_AFTER_MS,
          },
    onLost: (id) => host.log(`attention instance ${id} ended unexpectedly`),
  });
  await host.announce();
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
