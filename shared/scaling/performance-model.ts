import { contendedCycle } from './contended-cycle.ts';

/**
 * Attention of one layer on one instance: max(floor, fixed + several · min(1, b − 1) + perRow · b + perContextToken · b · S), b being
 * its rows and S their mean context.
 */
export interface AttentionCost {
  /** What each layer costs whatever the rows; 0 where absent, as in the paper. */
  readonly fixedMs?: number;
  /** What each layer costs more where there are several rows, which are computed otherwise than one; 0 where absent. */
  readonly severalMs?: number;
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
  /** What several rows cost more than one, as in attention. */
  readonly severalMs?: number;
  readonly perRowMs: number;
}

/** Instances of all pools on one machine, which has fewer processors than they have threads. */
export interface SharedProcessors {
  readonly count: number;
  /** Threads of the one host compute each other's experts, so that what an exchange takes is what its experts take. */
  readonly helping: boolean;
}

/** What sharing processors costs. */
export interface ContentionCost {
  /**
   * Share of the further processors that the expert instances of a layer step keep busy beside each other: from 0, where they compute
   * one after the other since whoever is woken runs where its waker ran, to 1.
   */
  readonly parallelShare: number;
  /** What each expert instance beyond the first adds to a layer step: a message, a thread more to wake. */
  readonly spreadMs: number;
  /**
   * Where threads help each other with the steps of one attention instance: how much longer a step takes, per share of the threads
   * that have no processor, since all wait for one that has none.
   */
  readonly crowding: number;
  /** Processor time that a step takes per time that it takes alone: above 1 where threads run beside each other. */
  readonly workFactor: number;
  /** Processor time per step beyond that: telling its tokens, Redis, gateways. */
  readonly besideMs: number;
  /** The same per expert instance: its messages, and threads that take turns. 0 where absent. */
  readonly besideInstanceMs?: number;
  /**
   * How many times as long what attention instances do takes where they run beside each other and wait for experts, not for
   * processors; `workFactor` where absent.
   */
  readonly besideFactor?: number;
  /**
   * The same per row and per token of context. Where threads help each other the factor is 0 and these stand for all work, since
   * who has helpers computes otherwise than who has none because each has work of its own.
   */
  readonly rowWorkMs: number;
  readonly contextWorkMs: number;
}

/** What is taken where nothing of it was measured. */
export const NO_CONTENTION: ContentionCost = {
  parallelShare: 1,
  spreadMs: 0,
  crowding: 0,
  workFactor: 1,
  besideMs: 0,
  rowWorkMs: 0,
  contextWorkMs: 0,
};

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
  /** Where processors are shared; `NO_CONTENTION` where absent. */
  readonly contention?: ContentionCost;
  /** Attention instances are hosts of their own, which take sequences off the queue without a look at each other. */
  readonly queuedApart?: boolean;
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
export const rowsTogether = (model: PerformanceModel, attention: number, batch: number): number =>
  model.stepsApart ? batch / busyAttention(model, attention, batch) : batch;

/** Attention instances that have sequences, on average: those of which none has been taken by chance are idle. */
export const busyAttention = (
  { queuedApart }: Pick<PerformanceModel, 'queuedApart'>,
  attention: number,
  batch: number,
): number =>
  queuedApart
    ? attention * (1 - (1 - 1 / attention) ** Math.max(1, batch))
    : Math.min(attention, Math.max(1, batch));

/**
 * Predicts the time per output token (TPOT) of a deployment.
 *
 * Source: Janus (arXiv 2512.13525), performance model: TPOT = Σ over layers of T_attn + T_moe + T_comm. What instances wait for
 * each other's layer steps or for a processor is ours, and counts as communication.
 */
export function predictTpot(model: PerformanceModel, operation: Operation): TpotParts {
  const { layers } = model;
  const alone = aloneTimes(model, operation);
  const { sentMs, computedMs, workedMs, stepMs } = alone;
  const barrier = model.stepsApart ? 1 : barrierFactor(operation.attention, model.attentionVariation);
  const attended = barrier * alone.attentionMs;
  const layerMs = attended + sentMs + computedMs + stepMs / layers;
  let cycleMs = layerMs;
  if (model.stepsApart) {
    const slower = besideOthers(model, operation);
    const servedMs = workedMs / operation.experts;
    cycleMs = contendedCycle(operation.attention, slower * (layerMs - servedMs), slower * servedMs);
  }
  // One instance was measured as it is, with all processors at its service.
  if (model.shared !== undefined && operation.attention > 1) {
    cycleMs = Math.max(cycleMs, processorTime(model, operation) / model.shared.count / layers);
  }
  const parts = {
    attentionMs: layers * attended,
    expertsMs: layers * computedMs,
    linkMs: layers * (sentMs + cycleMs - layerMs),
    stepMs,
  };
  return { ...parts, totalMs: parts.attentionMs + parts.expertsMs + parts.linkMs + parts.stepMs };
}

/** How many times as long work takes where threads run beside each other, as those of several attention instances do. */
const besideOthers = ({ shared, contention }: PerformanceModel, { attention }: Operation): number =>
  shared === undefined || attention === 1
    ? 1
    : Math.max(1, contention?.besideFactor ?? contention?.workFactor ?? NO_CONTENTION.workFactor);

/** What a layer takes an attention instance that has the machine to itself, and what its step takes besides. */
interface AloneTimes {
  readonly attentionMs: number;
  readonly sentMs: number;
  readonly computedMs: number;
  /** Work of all expert instances together for the layer step. */
  readonly workedMs: number;
  readonly stepMs: number;
}

function aloneTimes(model: PerformanceModel, operation: Operation): AloneTimes {
  const { attention, link, step, shared } = model;
  const { batch, context, experts: instances } = operation;
  const rows = batch / busyAttention(model, operation.attention, batch);
  const together = model.stepsApart ? rows : batch;
  const { spreadMs } = model.contention ?? NO_CONTENTION;
  const spread = shared === undefined ? 0 : (instances - 1) * spreadMs;
  const longer = crowdingFactor(model, operation);
  const { workedMs, computedMs } = expertTimes(model, operation, together);
  const attentionMs = rowsMs(attention, rows) + attention.perContextTokenMs * rows * context;
  return {
    attentionMs: longer * Math.max(attention.floorMs, attentionMs),
    sentMs: longer * (link.fixedMs + link.perRowMs * together + spread),
    computedMs: longer * computedMs,
    workedMs: longer * workedMs,
    stepMs: longer * rowsMs(step, rows),
  };
}

/** Of several attention instances one always has work for a processor, so that only a lone one waits for threads. */
function crowdingFactor(model: PerformanceModel, operation: Operation): number {
  if (model.shared?.helping !== true || operation.attention > 1) return 1;
  return 1 + (model.contention ?? NO_CONTENTION).crowding * crowdedShare(model.shared, operation);
}

/** Share of all instances' threads that have no processor. */
export function crowdedShare({ count }: SharedProcessors, { attention, experts }: Operation): number {
  const threads = attention + experts;
  return Math.max(0, threads - count) / threads;
}

/** @param rows of a layer step */
function expertTimes(
  { experts, expertsPerToken, shared, contention }: PerformanceModel,
  { aMax, experts: instances }: Operation,
  rows: number,
): Pick<AloneTimes, 'workedMs' | 'computedMs'> {
  const busiest = experts.perActivatedMs * aMax + (experts.perRowMs * rows * expertsPerToken) / instances;
  if (shared?.helping) {
    // Whatever instances there are, the same threads compute all groups, and as one was measured.
    const workedMs = experts.fixedMs + instances * busiest;
    return { workedMs, computedMs: workedMs };
  }
  const workedMs = instances * (experts.fixedMs + busiest);
  const threads = Math.min(instances, shared?.count ?? instances);
  const { parallelShare } = contention ?? NO_CONTENTION;
  return { workedMs, computedMs: workedMs / (1 + parallelShare * (threads - 1)) };
}

/** How much a batch is one of several rows: from 0 for one row to 1 for two, between them where some instances have one. */
export const severalRows = (rows: number): number => Math.min(1, Math.max(0, rows - 1));

const rowsMs = (cost: Partial<StepCost> & Pick<StepCost, 'perRowMs'>, rows: number): number =>
  (cost.fixedMs ?? 0) + (cost.severalMs ?? 0) * severalRows(rows) + cost.perRowMs * rows;

/** Time of processors that one step of each attention instance takes them and all experts together. */
export function processorTime(model: PerformanceModel, operation: Operation): number {
  const { attentionMs, sentMs, workedMs, stepMs } = aloneTimes(model, operation);
  const { attention, experts, batch, context } = operation;
  const { layers, stepsApart } = model;
  const {
    workFactor,
    besideMs,
    besideInstanceMs = 0,
    rowWorkMs,
    contextWorkMs,
  } = model.contention ?? NO_CONTENTION;
  const busy = busyAttention(model, attention, batch);
  // Of instances that step together the rows are sent and computed once for all.
  const layerSteps = stepsApart ? busy : 1;
  const workMs = busy * (layers * attentionMs + stepMs) + layerSteps * layers * (sentMs + workedMs);
  const besidesMs = busy * (besideMs + besideInstanceMs * experts);
  return workFactor * workMs + besidesMs + batch * (rowWorkMs + contextWorkMs * context);
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
