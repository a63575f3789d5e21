import { GROUPS } from './configurations.ts';
import { measureConfigurations, SHORT_LOADS } from './measure.ts';
import { checkClaims, comparePaper } from './paper.ts';
import { drawAblation } from './picture.ts';

const ROUNDS = 3;

/**
 * The paper's ablation: phases × gate, schedulers, and regimes, over rows and delays.
 *
 * @throws JanusError where this process cannot make network namespaces
 */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const measured = await measureConfigurations({ groups: GROUPS, rounds: ROUNDS, loads: SHORT_LOADS, quick });
  const { cells, regimes, network } = measured;
  return {
    cases: cells,
    network,
    regimes,
    ...checkClaims(cells, regimes),
    page: {
      markdown: `${comparePaper(cells)}\n\n![TPOT over rows](ablation.svg)`,
      files: { 'ablation.svg': drawAblation(cells) },
    },
  };
}
