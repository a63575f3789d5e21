import type { Actuator, ActuatorOutcome } from './actuator.ts';

export interface RaiseOptions {
  readonly actuator: Actuator;
  readonly model: string;
  readonly intervalMs: number;
  readonly onOutcome: (outcome: ActuatorOutcome) => void;
  /** Told where the actuator failed; the next attempt follows. */
  readonly report: (error: unknown) => void;
}

/**
 * Gives a model the least sizes that its actuator allows, where it has fewer, once: a scaler wants nothing before a model serves, and
 * a Deployment begins with one pod, which may be fewer than serve.
 *
 * @returns ends it; resolves when no attempt is under way
 */
export function raiseToLeast(options: RaiseOptions): () => Promise<void> {
  const { actuator, model, intervalMs, onOutcome, report } = options;
  let underWay = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const attempt = async (): Promise<boolean> => {
    const held = await actuator.read(model);
    if (held === null) return true;
    const outcome = await actuator.apply(model, held);
    onOutcome(outcome);
    return outcome.kind === 'applied' || outcome.kind === 'unchanged';
  };
  const run = (): void => {
    underWay = attempt()
      .catch((error: unknown) => {
        report(error);
        return false;
      })
      .then((isDone) => {
        if (!isDone && !closed) timer = setTimeout(run, intervalMs);
      });
  };
  run();
  return async () => {
    closed = true;
    clearTimeout(timer);
    await underWay;
  };
}
