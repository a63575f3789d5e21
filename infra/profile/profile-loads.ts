import type { LoadShape } from './steady-load.ts';

/** Contexts longer than this cost in proportion. */
const LONG_PROMPT = 1_025;
/** A prompt of one token leaves nothing to compute but rows that decode. */
const SHORT_PROMPT = 1;
const MOST_ANSWER = 128;
/** Whole blocks of kept prompts, and one token more, which has to be computed. */
const BLOCK = 64;
const LONGEST_GROWTH = 2;

/**
 * Loads from which the costs can be told apart: batches from one sequence per attention instance, since idle ones would be taken for
 * absent ones, to all that the instances hold, with a short and a long context. Those that tell most come first, in case that time
 * runs out.
 *
 * @param sequences that all attention instances hold
 */
export function profileLoads(sequences: number, attention: number, contextLength: number): LoadShape[] {
  const answerTokens = Math.max(1, Math.min(MOST_ANSWER, Math.floor(contextLength / 4)));
  const blocks = Math.floor((Math.min(LONG_PROMPT, contextLength - answerTokens) - 1) / BLOCK);
  const long = blocks * BLOCK + 1;
  const short = Math.min(SHORT_PROMPT, long);
  const batches: number[] = [];
  for (let batch = sequences; batch >= attention; batch = Math.floor(batch / LONGEST_GROWTH))
    batches.push(batch);
  const shapeOf =
    (promptTokens: number) =>
    (batch: number): LoadShape => ({ sequences: batch, promptTokens, answerTokens });
  const share = (of: number): number => Math.max(attention, Math.ceil(sequences / of));
  const [half, quarter] = [share(2), share(4)];
  const first = [
    ...[sequences, attention].map(shapeOf(short)),
    shapeOf(long)(quarter),
    shapeOf(short)(half),
    shapeOf(long)(sequences),
    shapeOf(short)(quarter),
    shapeOf(long)(attention),
  ];
  const loads = new Map(
    [...first, ...batches.map(shapeOf(short))].map((load) => [JSON.stringify(load), load]),
  );
  return [...loads.values()];
}
