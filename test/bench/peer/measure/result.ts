import type { WeightForm } from '../../../../shared/model/config.ts';
import type { GgufType } from '../gguf/gguf.ts';
import type { Agreement } from './agreement.ts';
import type { CellOptions, Measured, Way } from './cell.ts';
import type { Summary } from './decode-times.ts';
import type { MachineLoad } from './machine-load.ts';

/** One cell of the comparison; speeds are medians in tokens/s, of all sequences together. */
export interface PeerCell {
  readonly dtype: WeightForm;
  readonly peerDtype: GgufType;
  readonly phase: CellOptions['phase'];
  readonly sequences: number;
  readonly context: number;
  /** Through HTTP. */
  readonly ours: number;
  readonly oursInner: number;
  /** The better of its two modes. */
  readonly peer: number;
  /** ours / peer. */
  readonly ratio: number;
  /** The same of both within one repetition: median, least and most. */
  readonly ratioInRounds: Summary;
  /** Through HTTP over the inner loop, within one repetition. */
  readonly httpOverInner: Summary;
  /** Share that ours, through HTTP, reaches of what reading a token's weights and cache allows; of one decoding sequence only. */
  readonly rooflineShare?: number;
  readonly peerAsItComes: number;
  readonly peerTuned: number;
  /** llama.cpp's own benchmark, where it is on PATH. */
  readonly native?: number;
  /** Least and most of the repetitions, and percentiles of TPOT (decode) or TTFT (prefill), of each way. */
  readonly ways: Readonly<Record<Way, Measured>>;
}

/** What each system took to be ready with one form of the weights, and held at most, over all of its processes. */
export interface SystemCost {
  readonly dtype: WeightForm;
  readonly oursLoadMs: number;
  readonly peerLoadMs: number;
  readonly oursPeakMib: number;
  readonly peerPeakMib: number;
}

export interface PeerResult {
  readonly cells: readonly PeerCell[];
  readonly costs: readonly SystemCost[];
  /** Null where it was left out. */
  readonly agreement: Agreement | null;
  /** GB/s that this machine reads, by number of threads. */
  readonly bandwidthGbPerS: Readonly<Record<string, number>>;
  readonly machineLoad: MachineLoad;
  readonly repetitions: number;
  /** Name and version. */
  readonly peer: string;
}

/** How our weights are rounded: int8 more coarsely than the peer's Q8_0, which has a scale for each 32. */
const OUR_FORMATS: Readonly<Record<WeightForm, string>> = {
  f32: 'f32',
  int8: 'int8, a scale per row',
  int4: 'int4, blocks of 32',
};

/** Figures in a table of one line per cell: speeds with their spread, and percentiles of ours and of the better peer. */
export function tableRow(cell: PeerCell): Record<string, string | number> {
  const { ours, oursInner, asItComes, tuned } = cell.ways;
  const peer = tuned.tokensPerSecond.median >= asItComes.tokensPerSecond.median ? tuned : asItComes;
  const speed = ({ tokensPerSecond: { median, least, most } }: Measured): string =>
    `${median.toPrecision(4)} (${least.toPrecision(3)}–${most.toPrecision(3)})`;
  const latency = ({ latency: { p50Ms, p99Ms } }: Measured): string =>
    `${p50Ms.toPrecision(3)} / ${p99Ms.toPrecision(3)}`;
  return {
    dtype: `${OUR_FORMATS[cell.dtype]} / ${cell.peerDtype}`,
    phase: cell.phase,
    sequences: cell.sequences,
    context: cell.context,
    'ours tok/s': speed(ours),
    'ours, inner loop': speed(oursInner),
    'peer as it comes': speed(asItComes),
    'peer tuned': speed(tuned),
    native: cell.native ?? '–',
    'ours / as it comes': (cell.ours / cell.peerAsItComes).toFixed(2),
    'ours / tuned': (cell.ours / cell.peerTuned).toFixed(2),
    'ours / peer': `${cell.ratio.toFixed(2)} (${cell.ratioInRounds.least.toFixed(2)}–${cell.ratioInRounds.most.toFixed(2)})`,
    'HTTP / inner loop': cell.httpOverInner.median.toFixed(2),
    'of the roof': cell.rooflineShare === undefined ? '–' : `${Math.round(100 * cell.rooflineShare)}%`,
    'ours p50 / p99 ms': latency(ours),
    'peer p50 / p99 ms': latency(peer),
  };
}
