import { fitContention } from './fit-contention.ts';
import { type FitQuality, fitNonNegative, type Measurement, qualityOf } from './least-squares.ts';
import {
  type Operation,
  type PerformanceModel,
  predictTpot,
  type SharedProcessors,
  severalRows,
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
  /** Processors that everything together kept busy, on average; absent where instances do not share processors. */
  readonly busyProcessors?: number;
}

/** What is known of a deployment before anything is measured. */
export interface Deployment {
  readonly layers: number;
  readonly expertsPerToken: number;
  readonly shared?: SharedProcessors;
  readonly queuedApart?: boolean;
  readonly stepsApart?: boolean;
}

export interface FittedModel {
  readonly model: PerformanceModel;
  /** By part, and `tpot` for what they make together. */
  readonly quality: Readonly<Record<string, FitQuality>>;
}

/** What the clock of a host tells apart; a cost is never 0. */
const LEAST_MS = 1e-4;

type Feature = (load: LoadMeasurement) => number;

/**
 * Fits the costs of each part on its own, to the loads of the layout with the fewest instances, which get least in each other's
 * way; then what sharing processors costs, to all loads.
 *
 * @throws JanusError when there are no measurements
 */
export function fitModel(loads: readonly LoadMeasurement[], deployment: Deployment): FittedModel {
  const fewest = Math.min(...loads.map(instancesOf));
  const smallest = loads.filter((load) => instancesOf(load) === fewest);
  const { parts, quality } = fitParts(smallest, deployment);
  const alone: PerformanceModel = { ...deployment, ...parts, attentionVariation: 0 };
  const contention = deployment.shared === undefined ? undefined : fitContention(loads, alone);
  const model = contention === undefined ? alone : { ...alone, contention };
  const tpot = qualityOf(
    loads.map((load) => ({ predicted: predictTpot(model, load).totalMs, value: load.totalMs })),
  );
  return { model, quality: { ...quality, tpot } };
}

const instancesOf = ({ attention, experts }: LoadMeasurement): number => attention + experts;

function fitParts(
  loads: readonly LoadMeasurement[],
  deployment: Deployment,
): {
  parts: Pick<PerformanceModel, 'attention' | 'experts' | 'link' | 'step'>;
  quality: Record<string, FitQuality>;
} {
  const fitPart = (features: readonly Feature[], value: Feature) =>
    fitNonNegative(
      loads.map(
        (load): Measurement => ({
          features: features.map((feature) => feature(load)),
          value: Math.max(LEAST_MS, value(load)),
        }),
      ),
    );
  const one: Feature = () => 1;
  const rows: Feature = ({ batch, attention }) => batch / attention;
  const together: Feature = (load) => (deployment.stepsApart ? rows(load) : load.batch);
  const expertRows: Feature = (load) => (together(load) * deployment.expertsPerToken) / load.experts;
  const several: Feature = (load) => severalRows(rows(load));
  const attention = fitPart(
    [one, several, rows, (load) => rows(load) * load.context],
    ({ attentionMs }) => attentionMs,
  );
  const step = fitPart([one, several, rows], ({ stepMs }) => stepMs);
  // Who computes its experts' work itself waits for nobody: the exchange is what they take.
  const helping = deployment.shared?.helping === true;
  const experts = helping
    ? fitPart(
        [one, (load) => load.experts * load.aMax, (load) => load.experts * expertRows(load)],
        ({ exchangeMs }) => exchangeMs,
      )
    : fitPart([one, ({ activated }) => activated, expertRows], ({ expertsMs }) => expertsMs);
  const [fixedMs, perActivatedMs, perRowMs] = experts.coefficients as [number, number, number];
  const computed: Feature = (load) => {
    if (helping) return load.exchangeMs;
    const busiest = fixedMs + perActivatedMs * load.aMax + perRowMs * expertRows(load);
    return busiest * Math.max(1, load.experts / (deployment.shared?.count ?? load.experts));
  };
  // Errors count relative to the exchange: of what its experts leave of it, little may be left, or less than nothing.
  const link = fitNonNegative(
    loads.map(
      (load): Measurement => ({
        features: [1, together(load)],
        value: load.exchangeMs - computed(load),
        relativeTo: Math.max(LEAST_MS, load.exchangeMs),
      }),
    ),
  );
  return {
    parts: {
      attention: {
        floorMs: 0,
        fixedMs: attention.coefficients[0]!,
        severalMs: attention.coefficients[1]!,
        perRowMs: attention.coefficients[2]!,
        perContextTokenMs: attention.coefficients[3]!,
      },
      experts: { fixedMs, perActivatedMs, perRowMs },
      link: { fixedMs: link.coefficients[0]!, perRowMs: link.coefficients[1]! },
      step: {
        fixedMs: step.coefficients[0]!,
        severalMs: step.coefficients[1]!,
        perRowMs: step.coefficients[2]!,
      },
    },
    quality: {
      attention: attention.quality,
      experts: experts.quality,
      link: link.quality,
      step: step.quality,
    },
  };
}
