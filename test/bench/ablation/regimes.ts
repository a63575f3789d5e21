import { REFERENCE } from './configurations.ts';
import { measureConfigurations } from './measure.ts';
import { worstOverBetterRegime } from './paper.ts';

/** More than in the ablation: what is asked is whether one of three is at most 5% behind, on a machine that varies by more. */
const ROUNDS = 7;
/** Longer than in the ablation, since single steps vary most. */
const LOADS = new Map([
  [16, 160],
  [64, 96],
  [256, 48],
  [512, 40],
]);
const REGIMES = (['auto', 'direct', 'relay'] as const).map((exchange) => ({ ...REFERENCE, exchange }));

/**
 * The chosen regime against both pinned ones: the part of the ablation that asks for small differences, in more and longer rounds.
 *
 * @throws JanusError where this process cannot make network namespaces
 */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { regimes, network } = await measureConfigurations({
    groups: [REGIMES],
    rounds: ROUNDS,
    loads: LOADS,
    quick,
  });
  return { cases: regimes, network, rounds: ROUNDS, worstOverBetterRegime: worstOverBetterRegime(regimes) };
}
