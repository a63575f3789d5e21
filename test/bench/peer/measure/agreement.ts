import { JanusError } from '../../../../shared/errors/janus-error.ts';
import type { Peer } from '../llama/peer.ts';
import { randomTokens } from './prompts.ts';
import type { Janus } from './systems.ts';

const PROMPT_TOKENS = 16;
const ANSWER_TOKENS = 32;
const FIRST_SEED = 7_000;
/** Fewer than this and the systems do not run the same model; what remains are near ties, decided by rounding. */
const LEAST_SHARE = 0.9;

/** How far both systems agree on the model. */
export interface Agreement {
  readonly tokens: number;
  /** Answer tokens of ours that the peer, given the same tokens before, would have chosen too. */
  readonly agreeing: number;
}

interface Answered {
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

/** Greedy answers of ours to random prompts. */
export async function answerGreedily(
  janus: Janus,
  vocabularySize: number,
  prompts: number,
): Promise<Answered[]> {
  const answered: Answered[] = [];
  for (let i = 0; i < prompts; i++) {
    const [prompt] = randomTokens(vocabularySize, 1, PROMPT_TOKENS, FIRST_SEED + i);
    answered.push({ prompt: prompt!, answer: await janus.greedy(prompt!, ANSWER_TOKENS) });
  }
  return answered;
}

/**
 * Asks the peer for its choice after each beginning of our answers, so that one near tie costs one token and not the rest of
 * an answer.
 *
 * @throws JanusError when so few tokens agree that the systems cannot be running the same model
 */
export async function countAgreeing(peer: Peer, answered: readonly Answered[]): Promise<Agreement> {
  const mode = 'asItComes';
  await peer.tell('open', { mode, sequences: 1, contextSize: PROMPT_TOKENS + ANSWER_TOKENS });
  let tokens = 0;
  let agreeing = 0;
  for (const { prompt, answer } of answered) {
    const given = [...prompt, ...answer.slice(0, -1)];
    const { next } = await peer.tell('predict', { mode, tokens: given, from: prompt.length - 1 });
    tokens += answer.length;
    agreeing += answer.filter((id, position) => id === next[position]).length;
  }
  await peer.tell('close', { mode });
  if (agreeing < LEAST_SHARE * tokens) {
    throw new JanusError(
      `Only ${agreeing} of ${tokens} greedy tokens agree: both systems do not compute the same model, so speeds mean nothing.`,
    );
  }
  return { tokens, agreeing };
}
