import type { Redis } from 'ioredis';
import type { ScalerDecision } from '../../shared/protocol/scaling.ts';
import type { Clock } from '../clock.ts';
import type { PoolReader } from '../dispatcher/pool-reader.ts';
import { followTraffic, type TrafficOutcome } from './follow-traffic.ts';
import { runScaler } from './run-scaler.ts';
import { followRouting } from './traffic-table.ts';

/** Time between two rounds, in milliseconds. */
export const SCALER_INTERVAL_MS = 2_000;

export interface ScalerOptions {
  readonly redis: Redis;
  readonly pools: PoolReader;
  readonly clock: Clock;
  /** Models that it scales; all that are announced and have a target where absent. */
  readonly model?: string;
  readonly intervalMs?: number;
  readonly onDecision?: (model: string, decision: ScalerDecision) => void;
  /** Whether placements and a_max follow the traffic, placements also of models without a target. Both take seconds for a large model. */
  readonly followsTraffic?: boolean;
  readonly onTraffic?: (model: string, outcome: TrafficOutcome) => void;
  /** Told of rounds that failed; the next one comes all the same. */
  readonly report: (error: unknown) => void;
}

/** One round for all models: what a Worker's cron trigger runs. A model's failure does not keep the others from theirs. */
export async function scaleOnce(options: ScalerOptions): Promise<void> {
  const { redis, pools, clock, model, onDecision, followsTraffic, onTraffic, report } = options;
  for (const pool of await pools.read()) {
    if (model !== undefined && pool.model !== model) continue;
    try {
      const outcome = await runScaler(redis, pool, clock.nowMs());
      if (outcome.kind === 'decided') onDecision?.(pool.model, outcome.decision);
      if (!followsTraffic) continue;
      await followRouting(redis, pool, clock.nowMs());
      onTraffic?.(pool.model, await followTraffic(redis, pool, clock.nowMs()));
    } catch (error) {
      report(error);
    }
  }
}

/** Runs rounds at an interval. @returns ends it; resolves when no round is under way */
export function startScaler(options: ScalerOptions): () => Promise<void> {
  const { intervalMs = SCALER_INTERVAL_MS, report } = options;
  let underWay: Promise<void> | undefined;
  const timer = setInterval(() => {
    underWay ??= scaleOnce(options)
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
