import { sseData } from '../../../infra/demo/sse-data.ts';

/** A greedy answer, and what its client saw of how it came about. */
export interface GreedyAnswer {
  /** Every token of the benchmark's model is text of its own: the same text is the same tokens. */
  readonly text: string;
  /** TTFT: from sending the request to the first text. */
  readonly firstTokenMs: number;
  /** As the usage object tells. */
  readonly cachedTokens: number;
}

interface Chunk {
  readonly choices?: readonly { readonly text: string }[];
  readonly usage?: { readonly prompt_tokens_details: { readonly cached_tokens: number } } | null;
  readonly error?: { readonly message: string };
}

/**
 * Streams one greedy completion as a client does.
 *
 * @param url address of the gateway
 * @param tokens number of tokens to generate, whatever the model would end with
 * @throws Error when the gateway answers with an error, or the answer breaks off
 */
export async function answerGreedily(
  url: string,
  model: string,
  prompt: readonly number[],
  tokens: number,
): Promise<GreedyAnswer> {
  const sentAtMs = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model,
      prompt,
      max_tokens: tokens,
      temperature: 0,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) throw new Error(`The gateway answered ${response.status}: ${await response.text()}`);
  let text = '';
  let firstTokenMs: number | undefined;
  let cachedTokens: number | undefined;
  for await (const data of sseData(response.body!)) {
    if (data === '[DONE]') break;
    const { choices = [], usage, error } = JSON.parse(data) as Chunk;
    if (error !== undefined) throw new Error(`A completion broke off: ${error.message}`);
    const piece = choices[0]?.text ?? '';
    if (piece !== '') firstTokenMs ??= performance.now() - sentAtMs;
    text += piece;
    cachedTokens = usage?.prompt_tokens_details.cached_tokens ?? cachedTokens;
  }
  if (firstTokenMs === undefined || cachedTokens === undefined) throw new Error('A completion broke off.');
  return { text, firstTokenMs, cachedTokens };
}
