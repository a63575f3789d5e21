/** Attention of one layer on one instance: max(floor, perRow · b + perContextToken · b · S), b being its rows and S their mean context. */
export interface AttentionCost {
  readonly floorMs: number;
  readonly perRowMs: number;
  readonly perContextTokenMs: number;
}

/** Experts of one layer: fixed + perActivated · a_max + perRow · rows of the busiest instance. */
export interface ExpertCost {
  readonly fixedMs: number;
  readonly perActivatedMs: number;
  readonly perRowMs: number;
}

/** A round trip of one layer step between the pools, and what each row adds to it. */
export interface LinkCost {
  readonly fixedMs: number;
  readonly perRowMs: number;
}

/** What a step costs outside of its layers: embedding, LM head, sampling, and telling the tokens. */
export interface StepCost {
  readonly fixedMs: number;
  readonly perRowMs: number;
}

/**
 * Coefficients of the performance model, from a profiling run on the real instances and refined while serving.
 *
 * Source: Janus (arXiv 2512.13525), performance model. The paper has no cost per row of experts and none per step; on
 * processors without much arithmetic per byte both count.
 */
export interface PerformanceModel {
  readonly layers: number;
  /** k, experts that the gate picks per token. */
  readonly expertsPerToken: number;
  readonly attention: AttentionCost;
  readonly experts: ExpertCost;
  readonly link: LinkCost;
  readonly step: StepCost;
  /** Coefficient of variation of the time that attention instances of equal load take; see `barrierFactor`. */
  readonly attentionVariation: number;
}

/** A deployment in one moment. */
export interface Operation {
  /** n_a. */
  readonly attention: number;
  /** n_e. */
  readonly experts: number;
  /** B, sequences that decode. */
  readonly batch: number;
  /** S, mean length of their contexts, in tokens. */
  readonly context: number;
  /** a_max of a layer step of B rows on n_e instances. */
  readonly aMax: number;
}

/** Where the time of an output token goes. All in milliseconds, over all layers. */
export interface TpotParts {
  readonly attentionMs: number;
  readonly expertsMs: number;
  readonly linkMs: number;
  readonly stepMs: number;
  readonly totalMs: number;
}

/** (n − 3/8) / (n + 1/4): where Blom places the largest of n draws (Blom, "Statistical Estimates and Transformed Beta-Variables", 1958). */
const BLOM_SHIFT = 3 / 8;
const BLOM_SPREAD = 1 / 4;

/**
 * How much longer the slowest of n instances takes than their mean: a layer step waits for all of them. The paper's model
 * leaves this out.
 *
 * @param variation coefficient of variation of one instance's time
 */
export function barrierFactor(instances: number, variation: number): number {
  if (instances <= 1) return 1;
  return 1 + variation * normalQuantile((instances - BLOM_SHIFT) / (instances + BLOM_SPREAD));
}

/**
 * Predicts the time per output token (TPOT) of a deployment.
 *
 * Source: Janus (arXiv 2512.13525), performance model: TPOT = Σ over layers of T_attn + T_moe + T_comm.
 */
export function predictTpot(model: PerformanceModel, operation: Operation): TpotParts {
  const { layers, attention, experts, link, step } = model;
  const { batch, context, aMax } = operation;
  const rows = batch / operation.attention;
  const alone = Math.max(
    attention.floorMs,
    attention.perRowMs * rows + attention.perContextTokenMs * rows * context,
  );
  const expertRows = (batch * model.expertsPerToken) / operation.experts;
  const attentionMs = layers * alone * barrierFactor(operation.attention, model.attentionVariation);
  const expertsMs =
    layers * (experts.fixedMs + experts.perActivatedMs * aMax + experts.perRowMs * expertRows);
  const linkMs = layers * (link.fixedMs + link.perRowMs * batch);
  const stepMs = step.fixedMs + step.perRowMs * rows;
  return { attentionMs, expertsMs, linkMs, stepMs, totalMs: attentionMs + expertsMs + linkMs + stepMs };
}

/**
 * Where the standard normal distribution reaches `probability`, for probabilities from 0.5 on, to 0.0005.
 *
 * Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.2.23.
 */
function normalQuantile(probability: number): number {
  const t = Math.sqrt(-2 * Math.log(1 - probability));
  const numerator = 2.515517 + t * (0.802853 + t * 0.010328);
  const denominator = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  return t - numerator / denominator;
}
