import { seededRandom } from '../../../shared/placement/seeded-random.ts';

/** Choices that look random and are the same for the same seed. */
export interface Draw {
  /** A whole number from 0 on, less than `end`. */
  readonly below: (end: number) => number;
  /** True in this share of all cases. */
  readonly chance: (share: number) => boolean;
  readonly pick: <T>(from: readonly T[]) => T;
}

/** Keeps the draws of neighbouring numbers apart. */
const STRIDE = 0x9e3779b1;

/** @param index of what is drawn, so that it can be drawn again without all that came before it */
export function createDraw(seed: number, index: number): Draw {
  const random = seededRandom(Math.imul(seed, STRIDE) ^ Math.imul(index + 1, STRIDE - 2));
  const below = (end: number): number => Math.floor(random() * end);
  return { below, chance: (share) => random() < share, pick: (from) => from[below(from.length)]! };
}
