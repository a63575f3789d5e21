/** Rounds are counted from here; the first one warms up and is not kept. */
const WARM_UP = -1;

/**
 * Measures several ways in turn, and in the opposite order in every other round, so that a change of the machine's speed meets
 * them all.
 *
 * @param rounds that are kept
 * @param run measures one way once; `round` is -1 in the round that warms up
 * @returns per way the results of all rounds, in their order
 */
export async function takeTurns<Way, Result>(
  ways: readonly Way[],
  rounds: number,
  run: (way: Way, round: number) => Promise<Result>,
): Promise<Map<Way, Result[]>> {
  const results = new Map<Way, Result[]>(ways.map((way) => [way, []]));
  for (let round = WARM_UP; round < rounds; round++) {
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
      const result = await run(way, round);
      if (round !== WARM_UP) results.get(way)!.push(result);
    }
  }
  return results;
}
