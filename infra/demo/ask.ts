import { JanusError } from '../../shared/errors/janus-error.ts';
import { sseData } from './sse-data.ts';

const ANSWER_LIMIT_MS = 60_000;

/** One answer, and what its reader saw of the time that it took. */
export interface Answer {
  readonly question: string;
  readonly text: string;
  readonly completionTokens: number;
  /** TTFT: from sending the request to the first text. */
  readonly firstTokenMs: number;
  /** TPOT: mean time from one token to the next, without the first; `null` for an answer of one token. */
  readonly perTokenMs: number | null;
  /** From sending the request to the end of the answer. */
  readonly totalMs: number;
}

/** The part of a `chat.completion.chunk`, or of the error that may end a stream, that is read here. */
interface Chunk {
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

/**
 * Asks one question over HTTP, as any client would.
 *
 * @param url address of the gateway
 * @param onText told each piece of the answer as it arrives
 * @throws JanusError when the gateway answers with an error, or the answer breaks off or is empty
 */
export async function ask(
  url: string,
  model: string,
  question: string,
  onText: (text: string) => void,
): Promise<Answer> {
  const startedAtMs = performance.now();
  const body = await openStream(url, {
    model,
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0,
    messages: [{ role: 'user', content: question }],
  });
  let text = '';
  let firstAtMs: number | undefined;
  let finishedAtMs: number | undefined;
  let completionTokens: number | undefined;
  for await (const data of sseData(body)) {
    if (data === '[DONE]') break;
    const { choices = [], usage, error } = JSON.parse(data) as Chunk;
    if (error !== undefined) throw new JanusError(`${question} failed: ${error.message}`);
    completionTokens = usage?.completion_tokens ?? completionTokens;
    const content = choices[0]?.delta.content ?? '';
    if (content !== '') {
      firstAtMs ??= performance.now();
      text += content;
      onText(content);
    }
    if (choices[0]?.finish_reason != null) finishedAtMs = performance.now();
  }
  if (finishedAtMs === undefined || completionTokens === undefined) {
    throw new JanusError(`The answer to ${question} broke off.`);
  }
  if (firstAtMs === undefined || text.trim() === '') {
    throw new JanusError(`The answer to ${question} is empty.`);
  }
  return {
    question,
    text,
    completionTokens,
    firstTokenMs: firstAtMs - startedAtMs,
    perTokenMs: completionTokens > 1 ? (finishedAtMs - firstAtMs) / (completionTokens - 1) : null,
    totalMs: finishedAtMs - startedAtMs,
  };
}

async function openStream(url: string, request: object): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  if (!response.ok || response.body === null) {
    throw new JanusError(`The gateway answers with status ${response.status}: ${await response.text()}`);
  }
  return response.body;
}
