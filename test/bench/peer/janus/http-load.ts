import { sseData } from '../../../../infra/demo/sse-data.ts';

/** One sequence to generate. */
export interface SequenceRequest {
  readonly prompt: readonly number[];
  /** Number of tokens to generate, whatever the model would end with. */
  readonly tokens: number;
  readonly seed: number;
  /** The client hangs up when it has so many of them; by default it does not. */
  readonly hangUpAfter?: number;
}

interface Chunk {
  readonly choices?: readonly { readonly text: string }[];
  readonly error?: { readonly message: string };
}

/**
 * Streams one completion as a client does. Every token of the benchmark's model is text of its own, so each event is a token.
 *
 * @returns times at which the tokens arrived, in ms on the clock of `performance.now()`
 * @throws Error when the gateway answers with an error
 */
export async function streamTokens(
  url: string,
  model: string,
  { prompt, tokens, seed, hangUpAfter = Number.POSITIVE_INFINITY }: SequenceRequest,
): Promise<number[]> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model,
      prompt,
      max_tokens: tokens,
      // Sampling keeps sequences apart, so that routing stays spread as it is among real users.
      temperature: 1,
      seed,
      ignore_eos: true,
      stream: true,
    }),
  });
  if (!response.ok) throw new Error(`The gateway answered ${response.status}: ${await response.text()}`);
  const timesMs: number[] = [];
  for await (const data of sseData(response.body!)) {
    if (data === '[DONE]') break;
    const nowMs = performance.now();
    const { choices = [], error } = JSON.parse(data) as Chunk;
    if (error !== undefined) throw new Error(`A completion broke off: ${error.message}`);
    if (choices[0] !== undefined && choices[0].text !== '') timesMs.push(nowMs);
    // Leaving the loop closes the connection.
    if (timesMs.length >= hangUpAfter) break;
  }
  return timesMs;
}
