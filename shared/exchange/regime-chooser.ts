/** The two ways of the exchange's second phase. */
export type Regime = 'direct' | 'relay';
const REGIMES = ['direct', 'relay'] as const;

/** Weight that a measurement keeps when the next one comes: about the last 50 steps count. */
const MEMORY = 0.98;
/** Share by which the other regime must be predicted faster before the choice changes. */
const HYSTERESIS = 0.1;
/** Steps after which the regime that is not in use is measured again, and steps that measure it at the start. */
const PROBE_INTERVAL = 200;
const FIRST_PROBES = 4;

/** What a regime is expected to cost: α per message and 1/β per byte. */
export interface RegimeEstimate {
  /** Time per message in microseconds, at the number of messages that the regime sends. */
  readonly alphaUs: number;
  /** Bytes per microsecond; Infinity while size made no difference. */
  readonly betaBytesPerUs: number;
}

/**
 * Picks the regime of each layer step by predicted cost, α·messages + bytes/β. For each regime a line through the measured
 * times over bytes, old steps fading, gives both; the choice changes only for a clear gain, and the other regime is
 * measured now and then, since links change. Pure: it is told what was measured, and takes no time itself.
 */
export class RegimeChooser {
  readonly #lines: Readonly<Record<Regime, FadingLine>> = {
    direct: new FadingLine(),
    relay: new FadingLine(),
  };
  readonly #messages: Readonly<Record<Regime, number>>;
  #chosen: Regime = 'direct';
  #steps = 0;

  /** @param messages that each regime sends per layer step */
  constructor(messages: Readonly<Record<Regime, number>>) {
    this.#messages = messages;
  }

  /** Regime for the next step of `bytes` payload bytes. */
  choose(bytes: number): Regime {
    this.#steps++;
    for (const regime of REGIMES) {
      if (this.#lines[regime].count < FIRST_PROBES) return regime;
    }
    const other = this.#chosen === 'direct' ? 'relay' : 'direct';
    if (this.predictUs(other, bytes) < this.predictUs(this.#chosen, bytes) * (1 - HYSTERESIS)) {
      this.#chosen = other;
    } else if (this.#steps % PROBE_INTERVAL === 0) {
      return other;
    }
    return this.#chosen;
  }

  /** Tells how long a step took. */
  record(regime: Regime, bytes: number, tookUs: number): void {
    this.#lines[regime].add(bytes, tookUs);
  }

  /** Predicted time of a step in microseconds; 0 while nothing was measured. */
  predictUs(regime: Regime, bytes: number): number {
    const { intercept, slope } = this.#lines[regime].fit();
    return intercept + slope * bytes;
  }

  estimate(regime: Regime): RegimeEstimate {
    const { intercept, slope } = this.#lines[regime].fit();
    return {
      alphaUs: intercept / Math.max(1, this.#messages[regime]),
      betaBytesPerUs: slope > 0 ? 1 / slope : Number.POSITIVE_INFINITY,
    };
  }
}

/** Least squares over points that fade. Neither intercept nor slope is ever negative, as no cost is. */
class FadingLine {
  count = 0;
  #weight = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  add(x: number, y: number): void {
    this.count++;
    this.#weight = this.#weight * MEMORY + 1;
    this.#x = this.#x * MEMORY + x;
    this.#y = this.#y * MEMORY + y;
    this.#xx = this.#xx * MEMORY + x * x;
    this.#xy = this.#xy * MEMORY + x * y;
  }

  fit(): { intercept: number; slope: number } {
    if (this.#weight === 0) return { intercept: 0, slope: 0 };
    const meanX = this.#x / this.#weight;
    const meanY = this.#y / this.#weight;
    const variance = this.#xx / this.#weight - meanX * meanX;
    const covariance = this.#xy / this.#weight - meanX * meanY;
    // Steps of one size say nothing about size.
    const slope = variance > 1e-9 * meanX * meanX ? Math.max(0, covariance / variance) : 0;
    const intercept = meanY - slope * meanX;
    return intercept >= 0 ? { intercept, slope } : { intercept: 0, slope: meanY / meanX };
  }
}
