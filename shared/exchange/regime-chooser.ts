import type { RegimeRecord } from '../protocol/member.ts';
import { FadingLine } from './fading-line.ts';
import { REGIMES, type Regime } from './regime.ts';

/** Share of its weight that a measurement keeps when the next one of its regime comes: about the last 20 count. */
const MEMORY = 0.95;
/** First steps of each regime that are not counted: they open connections and meet code that is not compiled yet. */
const COLD_STEPS = 2;
/** Steps that measure each regime, in turns, before the first choice and before each change of it. */
const FIRST_STEPS = 8;
/** Share by which the other regime must be predicted faster before the choice changes. */
const HYSTERESIS = 0.05;
/** Standard errors of their difference by which two predictions must lie apart to count as different. */
const CLEAR_ERRORS = 2;
/** Steps between two probes of the regime that is not in use: few while it is unclear which is faster, then ever more. */
const SHORTEST_PROBE_INTERVAL = 16;
const LONGEST_PROBE_INTERVAL = 256;
/** Share of the steps' time that probes of a slower regime may cost. */
const PROBE_SHARE = 0.005;

/** What a regime is expected to cost: α per message and 1/β per byte. */
export interface RegimeEstimate {
  /** Time per message in microseconds, at the number of messages that the regime sends. */
  readonly alphaUs: number;
  /** Bytes per microsecond; Infinity while size made no difference. */
  readonly betaBytesPerUs: number;
}

/**
 * Picks the regime of each layer step by predicted cost, α·messages + bytes/β. For each regime a line through the measured
 * times over bytes, old steps fading, gives both; the choice changes only for a clear gain that holds when both are measured
 * in turns, and the other regime is measured now and then, since links change. Pure: it is told what was measured, and takes no time itself.
 */
export class RegimeChooser {
  readonly #ways: Readonly<Record<Regime, Way>>;
  #chosen: Regime = 'direct';
  #probeInterval = SHORTEST_PROBE_INTERVAL;
  #sinceProbe = 0;
  /** Whether the measurements of both regimes are of the same time. */
  #measuredInTurns = true;

  /** @param messages that each regime sends per layer step */
  constructor(messages: Readonly<Record<Regime, number>>) {
    this.#ways = { direct: new Way(messages.direct), relay: new Way(messages.relay) };
  }

  /** Regime for the next step of `bytes` payload bytes. */
  choose(bytes: number): Regime {
    const { direct, relay } = this.#ways;
    if (Math.min(direct.steps, relay.steps) < COLD_STEPS + FIRST_STEPS) {
      return direct.steps <= relay.steps ? 'direct' : 'relay';
    }
    const other = this.#chosen === 'direct' ? 'relay' : 'direct';
    const gainUs = this.predictUs(this.#chosen, bytes) - this.predictUs(other, bytes);
    const errorUs = CLEAR_ERRORS * Math.hypot(direct.line.errorAt(bytes), relay.line.errorAt(bytes));
    const worthwhileUs = HYSTERESIS * this.predictUs(this.#chosen, bytes);
    // A gain that was clear already has only to show again.
    if (gainUs > (this.#measuredInTurns ? worthwhileUs : Math.max(worthwhileUs, errorUs))) {
      this.#sinceProbe = 0;
      if (!this.#measuredInTurns) return this.#measureAfresh();
      this.#chosen = other;
    }
    this.#measuredInTurns = false;
    if (gainUs + errorUs > worthwhileUs) this.#probeInterval = SHORTEST_PROBE_INTERVAL;
    const surelyLostSteps = (-gainUs - errorUs) / this.predictUs(this.#chosen, bytes);
    if (++this.#sinceProbe < Math.max(this.#probeInterval, surelyLostSteps / PROBE_SHARE))
      return this.#chosen;
    this.#sinceProbe = 0;
    this.#probeInterval = Math.min(2 * this.#probeInterval, LONGEST_PROBE_INTERVAL);
    return other;
  }

  /**
   * The regime in use is measured all the time and the other one seldom, so where the machine as a whole gets slower only the
   * former seems to: both start again in turns before the choice may change.
   */
  #measureAfresh(): Regime {
    for (const way of Object.values(this.#ways)) way.forget();
    this.#measuredInTurns = true;
    return 'direct';
  }

  /** Tells how long a step took. */
  record(regime: Regime, bytes: number, tookUs: number): void {
    const way = this.#ways[regime];
    way.steps++;
    if (way.steps <= COLD_STEPS) return;
    if (way.line.count > 0) {
      way.predicted++;
      way.predictedUs += way.line.at(bytes);
      way.measuredUs += tookUs;
    }
    way.line.add(bytes, tookUs);
  }

  /** Predicted time of a step in microseconds; 0 while nothing was measured. */
  predictUs(regime: Regime, bytes: number): number {
    return this.#ways[regime].line.at(bytes);
  }

  estimate(regime: Regime): RegimeEstimate {
    const { line, messages } = this.#ways[regime];
    const { intercept, slope } = line.fit();
    return {
      alphaUs: intercept / Math.max(1, messages),
      betaBytesPerUs: slope > 0 ? 1 / slope : Number.POSITIVE_INFINITY,
    };
  }

  /** What each regime was predicted to take and took, over all steps of which there was a prediction. */
  get records(): RegimeRecord[] {
    return REGIMES.map((regime) => {
      const { predicted, predictedUs, measuredUs } = this.#ways[regime];
      const mean = (sum: number) => (predicted === 0 ? 0 : sum / predicted);
      return {
        regime,
        layerSteps: predicted,
        meanPredictedUs: mean(predictedUs),
        meanMeasuredUs: mean(measuredUs),
      };
    });
  }
}

class Way {
  readonly messages: number;
  line = new FadingLine(MEMORY);
  steps = 0;
  /** Steps of which there was a prediction, and the sums of what was predicted and measured. */
  predicted = 0;
  predictedUs = 0;
  measuredUs = 0;

  constructor(messages: number) {
    this.messages = messages;
  }

  /** Forgets its measurements, but not that it is warm. */
  forget(): void {
    this.line = new FadingLine(MEMORY);
    this.steps = COLD_STEPS;
  }
}
