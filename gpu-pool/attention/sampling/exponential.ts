/** Steps per power of two: with so many a short polynomial does for the rest. */
const STEPS = 32;
const STEPS_PER_UNIT = STEPS / Math.LN2;
/** ln 2 / STEPS in two parts, the first of so few bits that a product with a whole number is exact. */
const STEP_HIGH = 0.02166084938653512;
const STEP_LOW = Math.LN2 / STEPS - STEP_HIGH;
/** Below it e^x is 0 in 64 bits. */
const SMALLEST = -745;
/** Powers of two from 2^-SMALLEST_POWER on. */
const SMALLEST_POWER = 1_075;

/** 2^(i / STEPS) */
const FRACTIONS = Float64Array.from({ length: STEPS }, (_, i) => 2 ** (i / STEPS));
const POWERS = Float64Array.from({ length: SMALLEST_POWER + 1 }, (_, i) => 2 ** (i - SMALLEST_POWER));

/**
 * e^x for x ≤ 0 with a relative error below 1e-11, in a third of the time of `Math.exp`; a vocabulary of them is computed for
 * each token. It is the same on every machine. x = (n + i / 32) · ln 2 + r: 2^n and 2^(i / 32) are looked up, e^r is a
 * polynomial.
 */
export function exponential(x: number): number {
  if (!(x >= SMALLEST)) return Number.isNaN(x) ? x : 0;
  // Rounded to the nearest whole number, as a 32-bit integer.
  const steps = (x * STEPS_PER_UNIT - 0.5) | 0;
  const rest = x - steps * STEP_HIGH - steps * STEP_LOW;
  const series = 1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24))));
  return series * FRACTIONS[steps & (STEPS - 1)]! * POWERS[(steps >> 5) + SMALLEST_POWER]!;
}
