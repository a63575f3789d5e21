import type { Interrupted } from '../attention/attention-instance.ts';
import type { ExpertSource } from '../attention/worker-protocol.ts';
import { AttentionPool } from './attention-pool.ts';
import type { Host } from './host.ts';
import type { KernelPlan } from './kernel-plan.ts';

/**
 * Starts the attention instances of `host`, and shows when they take requests.
 *
 * @param experts way to the experts of the instance at `index`
 * @param settings `onLost` is called with the index of an instance whose thread ended by itself, `onRestart` awaited before it is
 *   started again; `onInterrupted` is called when an instance waits for another placement
 */
export async function startAttentionPool(
  host: Host,
  experts: (index: number) => ExpertSource,
  settings: {
    readonly onLost?: (index: number) => void;
    readonly onRestart?: (index: number) => Promise<void>;
    readonly onInterrupted?: (interrupted: Interrupted) => void;
    readonly kernels?: KernelPlan | null;
  } = {},
): Promise<void> {
  const { options, config } = host;
  host.attention = await AttentionPool.start({
    host: host.id,
    model: options.model,
    limits: options.limits,
    redis: host.redis,
    redisUrl: options.redisUrl,
    instances: options.attentionInstances,
    gate: options.gate,
    traceShape: config,
    experts,
    kernels: settings.kernels ?? null,
    tracer: host.tracer,
    ...(settings.onInterrupted && { onInterrupted: settings.onInterrupted }),
    log: host.log,
    onLost: settings.onLost ?? (() => {}),
    onRestart: settings.onRestart ?? (async () => {}),
    // Without Redis the next heartbeat tells of it.
    onRestarted: () => void host.announce().catch(() => {}),
    givenUp: (reason) => host.giveUp(reason),
  });
  await host.announce();
}
