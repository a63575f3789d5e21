import { staticPlacement } from '../../shared/placement/placement.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { TeamBoard } from '../team/team-board.ts';
import { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import { capacityOf, OVERDUE_AFTER_MS } from './host-options.ts';
import { type KernelPlan, planHostKernels } from './kernel-plan.ts';
import { OwnPlacement } from './own-placement.ts';
import { PlacementBell } from './placement-bell.ts';
import { publishPlacement, readPlacement, takeVersion } from './placement-store.ts';
import { startAttentionPool } from './start-attention-pool.ts';

/** Starts attention and expert instances in one host, joined by shared memory, or the monolith. */
export async function startBoth(host: Host): Promise<void> {
  const { options, config } = host;
  if (options.monolith) await startMonolith(host);
  else await startPools(host);
  host.log(`model ${options.model.name} is ready: ${config.layers} layers, ${config.experts} experts`);
}

async function startMonolith(host: Host): Promise<void> {
  const { config, options } = host;
  const everyExpert = Array.from({ length: config.experts }, (_, expert) => expert);
  const placement = staticPlacement({
    version: 1,
    model: options.model.name,
    layers: config.layers,
    experts: config.experts,
    instances: [{ id: 0, host: host.id }],
    capacity: everyExpert.length,
    scheduling: { scheduler: options.scheduler },
  });
  const kernels = planHostKernels(host, {
    placement,
    expertRows: options.limits.tokenBudget,
    attentionInstances: 1,
  });
  await startAttentionPool(host, () => ({ kind: 'monolith' }), { kernels });
}

async function startPools(host: Host): Promise<void> {
  const { options, config } = host;
  const { name: model } = options.model;
  const from = (await readPlacement(host.redis, model))?.version ?? 0;
  const placement = staticPlacement({
    version: await takeVersion(host.redis, model),
    model,
    layers: config.layers,
    experts: config.experts,
    instances: Array.from({ length: options.expertInstances }, (_, id) => ({ id, host: host.id })),
    capacity: capacityOf(options, config, options.expertInstances),
    scheduling: { scheduler: options.scheduler },
    ...(options.spareSlots && { spareSlots: options.spareSlots }),
  });
  const kernels = planHostKernels(host, {
    placement,
    expertRows: options.limits.tokenBudget,
    attentionInstances: options.attentionInstances,
    lanes: options.attentionInstances,
    placedInstances: placement.instances.length,
  });
  const bell = PlacementBell.open(host.redis, model);
  host.onClose(async () => bell.close());
  const experts = await startExpertPool(host, placement, kernels, bell);
  await publishPlacement(host.redis, placement, from);
  const { shared } = experts;
  const way = (placed: Placement) => (lane: number) =>
    ({ kind: 'local', placement: placed, shared, lane, overdueAfterMs: OVERDUE_AFTER_MS }) as const;
  const own = new OwnPlacement(host, experts, placement, way);
  host.onClose(own.follow(bell));
  await startAttentionPool(host, way(placement), {
    kernels,
    onRestart: async (index) => {
      abandonBoard(kernels, index);
      await experts.resetLane(index);
    },
    onInterrupted: (interrupted) => {
      own.report(interrupted);
      bell.ring();
    },
  });
}

/** Nobody takes parts of a task any more whose leader, the attention instance at `index`, has ended. */
function abandonBoard(kernels: KernelPlan | null, index: number): void {
  const { team, computes } = kernels?.attention(index) ?? {};
  if (team && computes) new TeamBoard(team.boards[computes.board]).abandon();
}

async function startExpertPool(
  host: Host,
  placement: Placement,
  kernels: KernelPlan | null,
  bell: PlacementBell,
): Promise<ExpertPool> {
  const { options, config } = host;
  const shape = {
    maxRows: options.limits.tokenBudget,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  host.experts = await ExpertPool.start({
    host: host.id,
    placement,
    model: options.model,
    shape,
    lanes: options.attentionInstances,
    placedInstances: placement.instances.length,
    kernels,
    log: host.log,
    givenUp: (reason) => host.giveUp(reason),
    changed: () => bell.ring(),
  });
  return host.experts;
}
