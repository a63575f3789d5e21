import { contendedCycle } from './contended-cycle.ts';

/**
 * Attention of one layer on one instance: max(floor, fixed + perRow · b + perContextToken · b · S), b being its rows and S their
 * mean context.
 */
export interface AttentionCost {
  /** What each layer costs whatever the rows; 0 where absent, as in the paper. */
  readonly fixedMs?: number;
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

/** Instances of all pools on one machine, which has fewer processors than they have threads. */
export interface SharedProcessors {
  readonly count: number;
  /** Threads of the one host compute each other's experts, so that none waits for another while there is work. */
  readonly helping: boolean;
  /**
   * Each expert instance is a host of its own. A message to each of them, which elsewhere is under way beside the others, is work
   * more for the same processors here.
   */
  readonly expertsApart?: boolean;
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
  /** Absent where each instance has processors of its own. */
  readonly shared?: SharedProcessors;
  /** Each attention instance sends layer steps of its own, as on hosts of their own; else the rows of all go together. */
  readonly stepsApart?: boolean;
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
  /** a_max of a layer step of `rowsTogether` rows on n_e instances. */
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

/** Rows of one layer step, of all attention instances that step together. */
export const rowsTogether = ({ stepsApart }: PerformanceModel, attention: number, batch: number): number =>
  stepsApart ? batch / attention : batch;

/** Messages of a layer step that follow each other. */
export const messagesPerStep = ({ shared }: PerformanceModel, experts: number): number =>
  shared?.expertsApart ? experts : 1;

/**
 * Predicts the time per output token (TPOT) of a deployment.
 *
 * Source: Janus (arXiv 2512.13525), performance model: TPOT = Σ over layers of T_attn + T_moe + T_comm. What instances wait for
 * each other's layer steps or for a processor is ours, and counts as communication.
 */
export function predictTpot(model: PerformanceModel, operation: Operation): TpotParts {
  const { layers, attention, link, step } = model;
  const { batch, context } = operation;
  const rows = batch / operation.attention;
  const alone = Math.max(
    attention.floorMs,
    (attention.fixedMs ?? 0) + attention.perRowMs * rows + attention.perContextTokenMs * rows * context,
  );
  const together = rowsTogether(model, operation.attention, batch);
  const sent = messagesPerStep(model, operation.experts) * (link.fixedMs + link.perRowMs * together);
  const stepMs = step.fixedMs + step.perRowMs * rows;
  const { expertsMs: computed, workMs } = expertTimes(model, operation, together);
  const processors = model.shared?.count ?? Number.POSITIVE_INFINITY;
  let attended = alone;
  let waited = 0;
  if (model.stepsApart) {
    const thinkMs = alone + sent + stepMs / layers;
    const cycleMs = contendedCycle(operation.attention, thinkMs, computed);
    const worked = (operation.attention * (thinkMs + workMs)) / processors;
    waited = Math.max(cycleMs, worked) - thinkMs - computed;
  } else {
    attended *= barrierFactor(operation.attention, model.attentionVariation);
    attended *= Math.max(1, operation.attention / processors);
  }
  const [attentionMs, expertsMs, linkMs] = [layers * attended, layers * computed, layers * (sent + waited)];
  return { attentionMs, expertsMs, linkMs, stepMs, totalMs: attentionMs + expertsMs + linkMs + stepMs };
}

/** How long one layer step takes the experts, and what all their instances work for it together. */
function expertTimes(
  { experts, expertsPerToken, shared }: PerformanceModel,
  { attention, experts: instances, aMax }: Operation,
  rows: number,
): { expertsMs: number; workMs: number } {
  const instanceRows = (rows * expertsPerToken) / instances;
  const busiest = experts.fixedMs + experts.perActivatedMs * aMax + experts.perRowMs * instanceRows;
  const workMs = instances * busiest;
  if (shared === undefined) return { expertsMs: busiest, workMs };
  const threads = Math.min(shared.count, shared.helping ? instances + attention : instances);
  return { expertsMs: workMs / threads, workMs };
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
