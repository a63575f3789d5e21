import { REFERENCE } from './configurations.ts';
import { measureConfigurations } from './measure.ts';
import { worstOverBetterRegime } from './paper.ts';

/** More than in the ablation: what is asked is whether one of three is at most 5% behind, on a machine that varies by more. */
const ROUNDS = 5;
const REGIMES = (['auto', 'direct', 'relay'] as const).map((exchange) => ({ ...REFERENCE, exchange }));

/**
 * The chosen regime against both pinned ones: the part of the ablation that asks for small differences, in more rounds.
 *
 * @throws JanusError where this process cannot make network namespaces
 */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { regimes, network } = await measureConfigurations({ groups: [REGIMES], rounds: ROUNDS, quick });
  return { cases: regimes, network, rounds: ROUNDS, worstOverBetterRegime: worstOverBetterRegime(regimes) };
}
