import { JanusError } from '../errors/janus-error.ts';
import { ActivationTrace, type TraceShape } from './trace.ts';

/** What synthetic routing looks like. */
export interface RoutingProfile extends TraceShape {
  /** Sequences that run at once, each with one row per step. */
  readonly sequences: number;
  /** Steps after which a sequence ends on average and another, with a topic of its own, takes its place. */
  readonly meanSequenceSteps: number;
  /** Subjects that sequences are about; each has its favourite experts, which are therefore activated together. */
  readonly topics: number;
  /** Favourite experts of a topic in each layer. */
  readonly expertsPerTopic: number;
  /** The favourites of a row's topic are so many times as likely as they would be without it; 1: no correlation. */
  readonly topicBoost: number;
  /** Exponent of the Zipf law by which topics are popular; 0: all alike. */
  readonly topicSkew: number;
  /** Exponent of the Zipf law by which experts are popular, whatever the topic; 0: all alike. */
  readonly expertSkew: number;
}

/** Routing of a large model as it is reported of trained ones: a few experts are hot, and subjects have their experts. */
export const SKEWED_PROFILE: RoutingProfile = {
  layers: 4,
  experts: 160,
  expertsPerToken: 8,
  sequences: 64,
  meanSequenceSteps: 64,
  topics: 16,
  expertsPerTopic: 20,
  topicBoost: 12,
  topicSkew: 0.8,
  expertSkew: 1,
};

/**
 * Makes up routing that is skewed and correlated, without end. Every layer draws at the start an order of popularity of
 * its experts and the favourites of each topic; then a row draws its experts without replacement, in proportion to
 * popularity times, for favourites, the boost.
 */
export class RoutingGenerator {
  readonly profile: RoutingProfile;
  readonly #random: () => number;
  /** [layers][topics][E]: how likely a row of the topic is to draw each expert, up to a factor. */
  readonly #weights: readonly (readonly Float64Array[])[];
  readonly #topicShares: Float64Array;
  /** [sequences] */
  readonly #topicOf: Int32Array;
  /** [layers] of [sequences, k]; every step writes over the last. */
  readonly #step: readonly Uint16Array[];
  readonly #bestKeys: Float64Array;

  /**
   * @param random Uniform numbers in [0, 1), for example from `seededRandom`.
   * @throws JanusError when a count of the profile is not a positive integer, or a row cannot draw so many experts.
   */
  constructor(profile: RoutingProfile, random: () => number) {
    checkProfile(profile);
    this.profile = profile;
    this.#random = random;
    this.#weights = Array.from({ length: profile.layers }, () => this.#drawLayer());
    this.#topicShares = zipf(profile.topics, profile.topicSkew);
    this.#topicOf = Int32Array.from({ length: profile.sequences }, () => this.#drawTopic());
    this.#step = Array.from(
      { length: profile.layers },
      () => new Uint16Array(profile.sequences * profile.expertsPerToken),
    );
    this.#bestKeys = new Float64Array(profile.expertsPerToken);
  }

  /** The next step's routing: per layer [sequences, k], valid until the next call. */
  nextStep(): readonly Uint16Array[] {
    const { sequences, meanSequenceSteps, expertsPerToken } = this.profile;
    for (let sequence = 0; sequence < sequences; sequence += 1) {
      if (this.#random() < 1 / meanSequenceSteps) this.#topicOf[sequence] = this.#drawTopic();
      for (const [layer, expertIds] of this.#step.entries()) {
        this.#drawRow(this.#weights[layer][this.#topicOf[sequence]], expertIds, sequence * expertsPerToken);
      }
    }
    return this.#step;
  }

  #drawLayer(): Float64Array[] {
    const { experts, topics, expertsPerTopic, topicBoost, expertSkew } = this.profile;
    const popularity = zipf(experts, expertSkew);
    const base = Float64Array.from(this.#shuffled(experts), (rank) => popularity[rank]);
    return Array.from({ length: topics }, () => {
      const weights = base.slice();
      for (const expert of this.#shuffled(experts).subarray(0, expertsPerTopic)) {
        weights[expert] *= topicBoost;
      }
      return weights;
    });
  }

  #shuffled(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, position) => position);
    for (let position = length - 1; position > 0; position -= 1) {
      const other = Math.floor(this.#random() * (position + 1));
      [order[position], order[other]] = [order[other], order[position]];
    }
    return order;
  }

  #drawTopic(): number {
    let left = this.#random();
    for (const [topic, share] of this.#topicShares.entries()) {
      left -= share;
      if (left < 0) return topic;
    }
    return this.#topicShares.length - 1;
  }

  /**
   * Draws a row without replacement: the k experts with the smallest −ln(u) / weight.
   *
   * Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006).
   */
  #drawRow(weights: Float64Array, expertIds: Uint16Array, start: number): void {
    const keys = this.#bestKeys;
    const last = keys.length - 1;
    keys.fill(Number.POSITIVE_INFINITY);
    for (let expert = 0; expert < weights.length; expert += 1) {
      const key = -Math.log(1 - this.#random()) / weights[expert];
      if (key >= keys[last]) continue;
      let position = last;
      for (; position > 0 && keys[position - 1] > key; position -= 1) {
        keys[position] = keys[position - 1];
        expertIds[start + position] = expertIds[start + position - 1];
      }
      keys[position] = key;
      expertIds[start + position] = expert;
    }
  }
}

/**
 * A trace of so many sampled steps of a generator that holds all of them.
 *
 * @param stepsPerSample Every so manyth step is sampled, as hosts do, so that a small window sees many sequences.
 */
export function generateTrace(
  generator: RoutingGenerator,
  sampledSteps: number,
  stepsPerSample = 1,
): ActivationTrace {
  const { profile } = generator;
  const trace = new ActivationTrace(profile, sampledSteps * profile.sequences);
  for (let step = 1; step <= sampledSteps * stepsPerSample; step += 1) {
    const routing = generator.nextStep();
    if (step % stepsPerSample !== 0) continue;
    for (const [layer, expertIds] of routing.entries()) trace.record(layer, expertIds, profile.sequences);
  }
  return trace;
}

/** [length]: shares in proportion to 1 / rank^exponent that sum to one. */
function zipf(length: number, exponent: number): Float64Array {
  const weights = Float64Array.from({ length }, (_, rank) => (rank + 1) ** -exponent);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function checkProfile(profile: RoutingProfile): void {
  for (const name of ['layers', 'experts', 'expertsPerToken', 'sequences', 'topics'] as const) {
    if (!Number.isInteger(profile[name]) || profile[name] < 1) {
      throw new JanusError(`routing profile: ${name} is ${profile[name]}; give a positive integer`);
    }
  }
  for (const name of ['expertsPerToken', 'expertsPerTopic'] as const) {
    if (!(profile[name] >= 0 && profile[name] <= profile.experts)) {
      throw new JanusError(
        `routing profile: ${name} is ${profile[name]}; there are ${profile.experts} experts`,
      );
    }
  }
  if (!(profile.meanSequenceSteps >= 1) || !(profile.topicBoost > 0)) {
    throw new JanusError(
      `routing profile: meanSequenceSteps is ${profile.meanSequenceSteps} and topicBoost ${profile.topicBoost}; ` +
        `give at least 1 and a positive number`,
    );
  }
}
