import type { Prompt } from '../../../shared/protocol/request.ts';

export const MODEL = 'token-source';

/** What a request asks of the token source. */
export interface Pace {
  readonly tokens: number;
  /** Time between two tokens, in milliseconds. */
  readonly everyMs: number;
  /** Characters of a token's text. */
  readonly textLength: number;
}

/** The prompt by which a request names its pace. */
export const paceText = (pace: Pace): string => JSON.stringify(pace);

/** @throws Error when the prompt is not one of `paceText` */
export function parsePace(prompt: Prompt): Pace {
  if (prompt.kind !== 'text') throw new Error(`The token source takes texts, not ${prompt.kind}.`);
  return JSON.parse(prompt.text) as Pace;
}
