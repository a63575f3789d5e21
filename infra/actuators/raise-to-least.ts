import { setTimeout as sleep } from 'node:timers/promises';
import type { Actuator, ActuatorOutcome } from './actuator.ts';

export interface RaiseOptions {
  readonly actuator: Actuator;
  readonly model: string;
  /** Time between two attempts. */
  readonly intervalMs: number;
  readonly onOutcome: (outcome: ActuatorOutcome) => void;
  /** Told where the actuator failed; the next attempt follows. */
  readonly report: (error: unknown) => void;
  /** Ends the attempts. */
  readonly signal: AbortSignal;
}

/**
 * Gives a model the least sizes that its actuator allows, where it has fewer: a scaler wants nothing before a model serves, and a
 * Deployment begins with one pod, which may be fewer than serve. It resolves when that is done, or `signal` says so. Nobody else
 * may scale the model meanwhile.
 */
export async function raiseToLeast(options: RaiseOptions): Promise<void> {
  const { intervalMs, report, signal } = options;
  while (!signal.aborted) {
    try {
      if (await attempt(options)) return;
    } catch (error) {
      report(error);
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => {});
  }
}

/** @returns whether it is done */
async function attempt({ actuator, model, onOutcome }: RaiseOptions): Promise<boolean> {
  const held = await actuator.read(model);
  if (held === null) return true;
  const outcome = await actuator.apply(model, held);
  onOutcome(outcome);
  return outcome.kind === 'applied' || outcome.kind === 'unchanged';
}
