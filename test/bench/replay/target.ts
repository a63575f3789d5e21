import type { ScalingTarget } from '../../../shared/protocol/scaling.ts';
import { SCALING_LIMITS } from '../../../shared/scaling/decide.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import type { TokenTargets } from './attainment.ts';
import { SEQUENCES_PER_ATTENTION } from './pool.ts';

/** The scaler plans for means, and times scatter: it aims at so much of what users want. */
const TPOT_SHARE = 0.7;
/**
 * Of a day that lasts minutes: its demand grows by a twentieth in ten seconds where it is steepest, is seen half a short window late, and
 * instances take another one or two seconds to start. Who begins to queue then waits until the peak is over.
 */
const HEADROOM = 1.1;
const DOWN_HEADROOM = 1.15;
/** Limits of the scaler are compressed less than the day: instances start no faster. */
const COOLDOWN_SHARE = 1 / 40;
const LEAST_COOLDOWN_MS = 4_000;
const SHORT_WINDOW_SHARE = 0.6;

interface PlayedSizes {
  readonly least: PoolSizes;
  readonly most: PoolSizes;
  /** Mean answer, in tokens. */
  readonly tokensPerSequence: number;
}

/** What the scaler is told for a day of that length. */
export function replayTarget(
  durationMs: number,
  { ttftMs, tpotMs }: TokenTargets,
  { least, most, tokensPerSequence }: PlayedSizes,
): ScalingTarget {
  const cooldownMs = Math.max(LEAST_COOLDOWN_MS, COOLDOWN_SHARE * durationMs);
  return {
    tpotMs: TPOT_SHARE * tpotMs,
    ttftMs,
    bounds: {
      leastAttention: least.attention,
      mostAttention: most.attention,
      leastExperts: least.experts,
      mostExperts: most.experts,
      sequencesPerAttention: SEQUENCES_PER_ATTENTION,
    },
    limits: {
      ...SCALING_LIMITS,
      headroom: HEADROOM,
      downHeadroom: DOWN_HEADROOM,
      downCooldownMs: cooldownMs,
      downAfterMs: cooldownMs,
      changeLimitMs: 2 * cooldownMs,
      floor: least,
    },
    window: {
      shortMs: SHORT_WINDOW_SHARE * cooldownMs,
      longMs: 2 * cooldownMs,
      tokensPerSequence,
    },
  };
}
