import type { TokenLogprob } from '../../../shared/protocol/token-event.ts';
import type { AnswerEvent } from '../generation/journal.ts';

/** OpenAI's value for a token that is hardly possible; JSON has no -∞. */
const HARDLY_POSSIBLE = -9999;

const finite = (logprob: number): number => (Number.isFinite(logprob) ? logprob : HARDLY_POSSIBLE);

const chatToken = ({ token, logprob, bytes }: TokenLogprob) => ({ token, logprob: finite(logprob), bytes });

/** A token of a chat completion's `logprobs.content`. */
export function chatLogprob(event: AnswerEvent) {
  if (event.kind !== 'token' || event.logprob === undefined) return undefined;
  return { ...chatToken(event.logprob), top_logprobs: event.logprob.top.map(chatToken) };
}

/**
 * A token's name in a text completion, where names are keys and no bytes stand beside them: a token that is no valid
 * text alone is written out as OpenAI does, `bytes:\xe2\x80`.
 */
function textToken({ token, bytes }: TokenLogprob): string {
  if (!token.includes('\ufffd')) return token;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}

export interface TextLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly top: Readonly<Record<string, number>>;
  /** Length of the token's text in characters (Unicode code points). */
  readonly length: number;
}

/** A token of a text completion's `logprobs`. */
export function textLogprob(event: AnswerEvent): TextLogprob | undefined {
  if (event.kind !== 'token' || event.logprob === undefined) return undefined;
  const all = [...event.logprob.top, event.logprob];
  return {
    token: textToken(event.logprob),
    logprob: finite(event.logprob.logprob),
    top: Object.fromEntries(all.map((entry) => [textToken(entry), finite(entry.logprob)])),
    length: [...event.logprob.token].length,
  };
}

/** @param offset characters of the answer's text before the first of these tokens */
export function textLogprobs(tokens: readonly TextLogprob[], offset: number) {
  let position = offset;
  const offsets = tokens.map(({ length }) => {
    const start = position;
    position += length;
    return start;
  });
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => top),
    text_offset: offsets,
  };
}
