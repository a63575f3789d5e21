import OpenAI, { type ClientOptions } from 'openai';
import { ENDLESS, QUESTION } from './asks.ts';
import type { SdkTarget } from './target.ts';

export const openaiClient = ({ baseURL, apiKey }: SdkTarget, options: ClientOptions = {}): OpenAI =>
  new OpenAI({ baseURL, apiKey, maxRetries: 0, ...options });

/** The question, to be answered greedily. */
export const chatAsk = ({ model }: SdkTarget) => ({
  model,
  temperature: 0,
  messages: [{ role: 'user' as const, content: QUESTION }],
});

/** An answer that goes on until it is cancelled. */
export const startEndless = (client: OpenAI, target: SdkTarget) =>
  client.chat.completions.create({ ...chatAsk(target), ...ENDLESS, stream: true });
