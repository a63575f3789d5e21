import type { ScalingTarget } from '../../../shared/protocol/scaling.ts';
import { SCALING_LIMITS } from '../../../shared/scaling/decide.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import type { TokenTargets } from './attainment.ts';
import { SEQUENCES_PER_ATTENTION } from './pool.ts';

/** The scaler plans for means, and times scatter: it aims at so much of what users want. */
const TPOT_SHARE = 0.7;
/**
 * Less than by default: what is planned leaves slots free for the 99th of a hundred first tokens already, and instances start within
 * two seconds, in which the demand grows by a hundredth.
 */
const HEADROOM = 1.05;
const DOWN_HEADROOM = 1.1;
/** Limits of the scaler are compressed less than the day: instances start no faster, and few requests scatter more than many. */
const COOLDOWN_SHARE = 1 / 100;
const LEAST_COOLDOWN_MS = 3_000;
const SHORT_WINDOWS = 2;
const LONG_WINDOWS = 3;
const LEAST_CHANGE_LIMIT_MS = 20_000;

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
      changeLimitMs: Math.max(LEAST_CHANGE_LIMIT_MS, 2 * cooldownMs),
      floor: least,
    },
    window: {
      shortMs: SHORT_WINDOWS * cooldownMs,
      longMs: LONG_WINDOWS * cooldownMs,
      tokensPerSequence,
    },
  };
}
