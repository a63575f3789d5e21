import type { HostRecord } from '../../shared/protocol/member.ts';
import type { LoadMeasurement } from '../../shared/scaling/fit-model.ts';

/** Parts of a step that are computed in each layer, and all that are on the instance's thread. */
const LAYER_PARTS = ['pre', 'attend', 'post'];
const OUTSIDE_PARTS = ['plan', 'embed', 'head', 'sample', 'publish'];
const EXCHANGE = 'exchange';

/** The hosts of a model at two moments between which a load was steady. */
export interface RecordSpan {
  readonly before: readonly HostRecord[];
  readonly after: readonly HostRecord[];
}

export interface SpanShape {
  readonly layers: number;
  readonly expertInstances: number;
  /** Sequences that the load keeps decoding. */
  readonly sequences: number;
  /** Prompt tokens that were computed meanwhile. */
  readonly promptTokens: number;
  /** Tokens per context, on average. */
  readonly context: number;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

type Hosts = readonly HostRecord[];
const attentionOf = (hosts: Hosts) => hosts.flatMap((host) => host.attention);
const expertsOf = (hosts: Hosts) => hosts.flatMap((host) => host.experts);
const exchangesOf = (hosts: Hosts) =>
  hosts.flatMap(({ host, exchange, traffic }) =>
    exchange === null ? [] : [{ id: host, ...exchange, traffic }],
  );

/** Growth of a counter, over what was there at both moments. */
function growth<Counted extends { readonly id: string | number }>(
  { before, after }: RecordSpan,
  countedOf: (hosts: Hosts) => readonly Counted[],
  counter: (counted: Counted) => number,
): number {
  const started = new Map(countedOf(before).map((counted) => [counted.id, counted]));
  return sum(
    countedOf(after).map((counted) => {
      const earlier = started.get(counted.id);
      return earlier === undefined ? 0 : counter(counted) - counter(earlier);
    }),
  );
}

/** What the counters of hosts say of the time between; null where too little happened to tell. */
export function measureSpan(span: RecordSpan, shape: SpanShape): LoadMeasurement | null {
  const { layers, expertInstances, sequences, promptTokens, context } = shape;
  const steps = growth(span, attentionOf, (instance) => instance.steps);
  const layerSteps = growth(span, exchangesOf, (host) => host.layerSteps);
  if (steps === 0 || layerSteps === 0) return null;
  const perStep = (phases: readonly string[]): number =>
    growth(span, attentionOf, ({ phasesMs }) => sum(phases.map((phase) => phasesMs[phase] ?? 0))) / steps;
  const worked = growth(span, expertsOf, ({ groupsMs }) => groupsMs);
  // Threads of attention instances compute groups beside those of the experts, where both are on one host.
  const assisted = growth(span, exchangesOf, ({ traffic }) => sum(traffic.map(({ assistMs }) => assistMs)));
  const tokens = growth(span, attentionOf, ({ pace }) => pace?.generatedTokens ?? 0);
  const activated = growth(span, expertsOf, (instance) => instance.meanActivated * instance.layerSteps);
  const aMax = growth(span, exchangesOf, (host) => host.meanAMax * host.layerSteps) / layerSteps;
  const [layerMs, outsideMs, exchangeMs] = [
    perStep(LAYER_PARTS),
    perStep(OUTSIDE_PARTS),
    perStep([EXCHANGE]),
  ];
  const attention = Math.min(sequences, attentionOf(span.after).length);
  return {
    attention,
    experts: expertInstances,
    // Rows of a step, so that prompts count as what they cost. Where an instance is idle, the others have more.
    batch: Math.min(sequences, ((tokens + promptTokens) / steps) * attention),
    context,
    aMax,
    attentionMs: layerMs / layers,
    exchangeMs: exchangeMs / layers,
    expertsMs: (worked + assisted) / layerSteps / expertInstances,
    activated: activated / layerSteps / expertInstances,
    stepMs: outsideMs,
    totalMs: layerMs + outsideMs + exchangeMs,
  };
}
