import { markdownTable } from '../results.ts';
import { axes, type Cell, findCell } from './cell.ts';
import { REFERENCE } from './configurations.ts';

/** Rows from which on two phases have to beat one. */
const FEWEST_ROWS_OF_CLAIM = 64;
const AT_EXPERTS = { ...REFERENCE, gate: 'experts' } as const;
const ONE_PHASE_AT_EXPERTS = { phases: '1PC', gate: 'experts', scheduler: 'aebs' } as const;

const percent = (share: number): string => `${Math.round(100 * share)}%`;
const gain = (ratio: number): string => `${ratio >= 1 ? '+' : '−'}${Math.abs(100 * (ratio - 1)).toFixed(1)}%`;

/** Throughput of `a` over that of `b` at the same rows and delay, wherever both were measured. */
function ratios(
  cells: readonly Cell[],
  a: Partial<Cell>,
  b: Partial<Cell>,
  where: Partial<Cell> = {},
): number[] {
  const { rows, delaysMs } = axes(cells.filter((cell) => findCell([cell], where)));
  return delaysMs.flatMap((delayMs) =>
    rows.flatMap((count) => {
      const [first, second] = [a, b].map((wanted) => findCell(cells, { ...wanted, rows: count, delayMs }));
      return first && second ? [first.tokensPerSecond / second.tokensPerSecond] : [];
    }),
  );
}

const range = (values: readonly number[], format: (value: number) => string): string =>
  values.length === 0 ? '–' : `${format(Math.min(...values))} to ${format(Math.max(...values))}`;

/**
 * What the paper's ablation reports (arXiv 2512.13525; DeepSeek-V2 on H100 with NVLink and InfiniBand), and the same
 * comparison here, over all delays. Ours runs on the processors of one machine, where computing weighs more than sending.
 */
export function comparePaper(cells: readonly Cell[]): string {
  const tpot = (rows: number): string =>
    range(
      cells
        .filter((cell) => findCell([cell], { ...ONE_PHASE_AT_EXPERTS, rows }))
        .map((cell) => cell.tpotP50Ms),
      (ms) => `${ms.toFixed(0)} ms`,
    );
  const share = (rows: number): string =>
    range(ratios(cells, ONE_PHASE_AT_EXPERTS, REFERENCE, { rows }), percent);
  const over = (scheduler: Cell['scheduler']): string =>
    range(ratios(cells, REFERENCE, { ...REFERENCE, scheduler }), gain);
  return markdownTable([
    { claim: '1PC + gate at experts, TPOT at 256 rows', paper: '185 ms', here: tpot(256) },
    { claim: '1PC + gate at experts, TPOT at 512 rows', paper: '350 ms', here: tpot(512) },
    { claim: 'its share of the full throughput at 256 rows', paper: '44%', here: share(256) },
    { claim: 'its share of the full throughput at 512 rows', paper: '30%', here: share(512) },
    {
      claim: '2PC: throughput with gate at experts over gate at attention',
      paper: '+4% to +34%',
      here: range(ratios(cells, AT_EXPERTS, REFERENCE), gain),
    },
    { claim: 'throughput with AEBS over random replicas', paper: '+11% to +15%', here: over('random') },
    { claim: 'throughput with AEBS over EPLB', paper: '', here: over('eplb') },
    { claim: 'throughput with AEBS over balanced tokens', paper: '', here: over('token-balanced') },
  ]);
}

/** Throughput of the chosen regime over that of a pinned one, measured in turns. */
export interface RegimeRatio {
  readonly rows: number;
  readonly delayMs: number;
  readonly autoOverDirect: number;
  readonly autoOverRelay: number;
}

/** Throughput of the chosen regime over that of the better pinned one, where it is worst. */
export function worstOverBetterRegime(regimes: readonly RegimeRatio[]): number | string {
  return worst(regimes.map(({ autoOverDirect, autoOverRelay }) => Math.min(autoOverDirect, autoOverRelay)));
}

function worst(values: readonly number[]): number | string {
  return values.length === 0 ? 'not measured' : Number(Math.min(...values).toFixed(3));
}

/** The claims that this system makes of itself, each by its worst cell. */
export function checkClaims(
  cells: readonly Cell[],
  regimes: readonly RegimeRatio[],
): Record<string, number | string> {
  const twoOverOne = (['attention', 'experts'] as const).flatMap((gate) => {
    const two = { ...REFERENCE, gate };
    const many = cells.filter((cell) => cell.rows >= FEWEST_ROWS_OF_CLAIM);
    return ratios(many, two, { phases: '1PC', gate, scheduler: 'aebs' });
  });
  return {
    worstThroughputOfTwoPhasesOverOneFrom64Rows: worst(twoOverOne),
    worstThroughputOfAutoOverBetterPinnedRegime: worstOverBetterRegime(regimes),
  };
}
