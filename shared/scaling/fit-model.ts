import { type FitQuality, fitNonNegative, type Measurement, qualityOf } from './least-squares.ts';
import {
  messagesPerStep,
  type Operation,
  type PerformanceModel,
  predictTpot,
  rowsTogether,
  type SharedProcessors,
} from './performance-model.ts';

/** What instances took under one steady load. Times are means; those of layers are of one layer. */
export interface LoadMeasurement extends Operation {
  /** Of an attention instance. */
  readonly attentionMs: number;
  /** From sending a layer step until all experts have answered. */
  readonly exchangeMs: number;
  /** All that experts worked for a layer step, over the number of their instances. */
  readonly expertsMs: number;
  /** Mean number of activated experts of an instance. */
  readonly activated: number;
  /** What a step took beside its layers, and as a whole. */
  readonly stepMs: number;
  readonly totalMs: number;
}

/** What is known of a deployment before anything is measured. */
export interface Deployment {
  readonly layers: number;
  readonly expertsPerToken: number;
  readonly shared?: SharedProcessors;
  readonly stepsApart?: boolean;
}

export interface FittedModel {
  readonly model: PerformanceModel;
  /** By part, and `tpot` for what they make together. */
  readonly quality: Readonly<Record<string, FitQuality>>;
}

/** What the clock of a host tells apart; a cost is never 0. */
const LEAST_MS = 1e-4;

/**
 * Fits the costs of each part on its own, then the links to what an exchange took beyond its experts.
 *
 * @throws JanusError when there are no measurements
 */
export function fitModel(loads: readonly LoadMeasurement[], deployment: Deployment): FittedModel {
  const { expertsPerToken } = deployment;
  const partsOf = (features: (load: LoadMeasurement) => number[], value: (load: LoadMeasurement) => number) =>
    loads.map((load): Measurement => ({ features: features(load), value: Math.max(LEAST_MS, value(load)) }));
  const rowsOf = (load: LoadMeasurement): number => load.batch / load.attention;
  const attention = fitNonNegative(
    partsOf(
      (load) => [1, rowsOf(load), rowsOf(load) * load.context],
      (load) => load.attentionMs,
    ),
  );
  const together = (load: LoadMeasurement): number =>
    deployment.stepsApart ? load.batch / load.attention : load.batch;
  const experts = fitNonNegative(
    partsOf(
      (load) => [1, load.activated, (together(load) * expertsPerToken) / load.experts],
      (load) => load.expertsMs,
    ),
  );
  const step = fitNonNegative(
    partsOf(
      (load) => [1, rowsOf(load)],
      (load) => load.stepMs,
    ),
  );
  const withoutLink: PerformanceModel = {
    ...deployment,
    attention: {
      floorMs: 0,
      fixedMs: attention.coefficients[0]!,
      perRowMs: attention.coefficients[1]!,
      perContextTokenMs: attention.coefficients[2]!,
    },
    experts: {
      fixedMs: experts.coefficients[0]!,
      perActivatedMs: experts.coefficients[1]!,
      perRowMs: experts.coefficients[2]!,
    },
    link: { fixedMs: 0, perRowMs: 0 },
    step: { fixedMs: step.coefficients[0]!, perRowMs: step.coefficients[1]! },
    attentionVariation: 0,
  };
  const link = fitNonNegative(
    partsOf(
      (load) => {
        const messages = messagesPerStep(withoutLink, load.experts);
        return [messages, messages * rowsTogether(withoutLink, load.attention, load.batch)];
      },
      (load) => {
        const { expertsMs, linkMs } = predictTpot(withoutLink, load);
        return load.exchangeMs - (expertsMs + linkMs) / deployment.layers;
      },
    ),
  );
  const model = { ...withoutLink, link: { fixedMs: link.coefficients[0]!, perRowMs: link.coefficients[1]! } };
  const tpot = qualityOf(
    loads.map((load) => ({ predicted: predictTpot(model, load).totalMs, value: load.totalMs })),
  );
  const quality = { attention, experts, link, step };
  return {
    model,
    quality: {
      ...Object.fromEntries(Object.entries(quality).map(([part, fit]) => [part, fit.quality])),
      tpot,
    },
  };
}
