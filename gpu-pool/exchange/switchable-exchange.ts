import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import type { RegimeRecord } from '../../shared/protocol/member.ts';
import type { Exchange, ExchangeCounters, ExchangeStatistics } from './exchange.ts';

/** An exchange that another one can take the place of between two steps of the engine; what was counted goes on. */
export class SwitchableExchange implements Exchange {
  #current: Exchange;
  #pastLinks: readonly ExchangeStatistics[] = [];
  #past: ExchangeCounters = { layerSteps: 0, totalAMax: 0, regimes: [] };

  constructor(first: Exchange) {
    this.#current = first;
  }

  /** Goes on with `next`, and closes the one before. */
  async switchTo(next: Exchange): Promise<void> {
    const before = this.#current;
    const links = sumLinks([...this.#pastLinks, ...before.statistics]);
    // Of hosts that are gone nothing is kept, so that this is bounded.
    const ways = new Set(next.statistics.map(wayOf));
    this.#pastLinks = links.filter((link) => ways.has(wayOf(link)));
    this.#past = sumCounters(this.#past, before.counters);
    this.#current = next;
    await before.close();
  }

  get step(): LayerStep {
    return this.#current.step;
  }

  get aMax(): number {
    return this.#current.aMax;
  }

  get counters(): ExchangeCounters {
    return sumCounters(this.#past, this.#current.counters);
  }

  get statistics(): readonly ExchangeStatistics[] {
    const { statistics } = this.#current;
    return this.#pastLinks.length === 0 ? statistics : sumLinks([...this.#pastLinks, ...statistics]);
  }

  setActive(active: boolean): void {
    this.#current.setActive?.(active);
  }

  beginStep(): void {
    this.#current.beginStep?.();
  }

  endStep(): void {
    this.#current.endStep?.();
  }

  run(layer: number, rows: number, output: Float32Array): Promise<void> {
    return this.#current.run(layer, rows, output);
  }

  close(): Promise<void> {
    return this.#current.close();
  }
}

const wayOf = ({ host, kind }: ExchangeStatistics): string => `${kind} ${host}`;

/** One for each way. */
function sumLinks(links: readonly ExchangeStatistics[]): ExchangeStatistics[] {
  return [...Map.groupBy(links, wayOf).values()].map((way) => way.reduce(sumTwo));
}

function sumTwo(one: ExchangeStatistics, other: ExchangeStatistics): ExchangeStatistics {
  return {
    host: one.host,
    kind: one.kind,
    layerSteps: one.layerSteps + other.layerSteps,
    messages: one.messages + other.messages,
    messagesSent: one.messagesSent + other.messagesSent,
    bytes: one.bytes + other.bytes,
    totalRoundTripUs: one.totalRoundTripUs + other.totalRoundTripUs,
    maxRoundTripUs: Math.max(one.maxRoundTripUs, other.maxRoundTripUs),
    totalCombineUs: one.totalCombineUs + other.totalCombineUs,
    totalScheduleUs: one.totalScheduleUs + other.totalScheduleUs,
    totalAssistUs: one.totalAssistUs + other.totalAssistUs,
    assistedGroups: one.assistedGroups + other.assistedGroups,
    aMax: other.aMax,
  };
}

function sumCounters(one: ExchangeCounters, other: ExchangeCounters): ExchangeCounters {
  return {
    layerSteps: one.layerSteps + other.layerSteps,
    totalAMax: one.totalAMax + other.totalAMax,
    regimes: sumRegimes([...one.regimes, ...other.regimes]),
  };
}

/** One record per regime, its means over the layer steps of all. */
export function sumRegimes(records: readonly RegimeRecord[]): RegimeRecord[] {
  return [...Map.groupBy(records, ({ regime }) => regime)].map(([regime, of]) => {
    const layerSteps = of.reduce((sum, record) => sum + record.layerSteps, 0);
    const mean = (value: (record: RegimeRecord) => number): number =>
      layerSteps === 0
        ? 0
        : of.reduce((sum, record) => sum + value(record) * record.layerSteps, 0) / layerSteps;
    return {
      regime,
      layerSteps,
      meanPredictedUs: mean((record) => record.meanPredictedUs),
      meanMeasuredUs: mean((record) => record.meanMeasuredUs),
    };
  });
}
