import type { Context } from 'hono';
import { errorResponse, invalid } from '../errors.ts';

/** What OpenAI's API offers and models that generate text cannot do, by address below `/v1`. */
export const NOT_OFFERED: Readonly<Record<string, string>> = {
  '/embeddings': 'embeddings: the models here generate text',
  '/moderations': 'moderation: the models here generate text',
  '/images/generations': 'images: only text is generated',
  '/images/edits': 'images: only text is generated',
  '/images/variations': 'images: only text is generated',
  '/audio/speech': 'audio: only text is generated',
  '/audio/transcriptions': 'audio: only text is understood',
  '/audio/translations': 'audio: only text is understood',
};

/** Answers in OpenAI's shape, so that a client's library tells its user why. */
export const notOffered = (what: string) => (c: Context) =>
  errorResponse(c, invalid(null, `This server does not offer ${what}`, 'unsupported_endpoint'));
