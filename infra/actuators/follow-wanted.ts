import type { Redis } from 'ioredis';
import { wantedSizesKey } from '../../shared/protocol/keys.ts';
import type { WantedSizes } from '../../shared/protocol/scaling.ts';
import type { Actuator, ActuatorOutcome } from './actuator.ts';

/** Time between two looks at what is wanted, in milliseconds. */
export const FOLLOW_INTERVAL_MS = 1_000;

export interface FollowOptions {
  readonly redis: Redis;
  readonly model: string;
  readonly actuator: Actuator;
  readonly intervalMs?: number;
  /** Told of everything but sizes that stay. */
  readonly onOutcome: (outcome: ActuatorOutcome, wanted: WantedSizes) => void;
  /** Told where Redis or the actuator failed; the next look comes all the same. */
  readonly report: (error: unknown) => void;
}

/**
 * Has an actuator follow what the scaler of a model wants. What it wants is applied again at every look, so that whatever an
 * actuator could not do, or somebody else undid, is done later. Where nothing is wanted yet, nothing is done.
 *
 * @returns ends it; resolves when no look is under way
 */
export function followWanted(options: FollowOptions): () => Promise<void> {
  const { redis, model, actuator, intervalMs = FOLLOW_INTERVAL_MS, onOutcome, report } = options;
  let underWay: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    const stored = await redis.get(wantedSizesKey(model));
    if (stored === null) return;
    const wanted = JSON.parse(stored) as WantedSizes;
    const { attention, experts } = wanted;
    const outcome = await actuator.apply(model, { attention, experts });
    if (outcome.kind !== 'unchanged') onOutcome(outcome, wanted);
  };
  const timer = setInterval(() => {
    underWay ??= look()
      .catch(report)
      .finally(() => {
        underWay = undefined;
      });
  }, intervalMs);
  return async () => {
    clearInterval(timer);
    await underWay;
  };
}
