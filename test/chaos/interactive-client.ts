/** What became of one request. */
export interface Asked {
  /** `performance.now()` when it was sent, and when it had ended. */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** Time until the first text; null where there was none. */
  readonly firstTokenMs: number | null;
  readonly text: string;
  /** What went wrong. */
  readonly error: string | null;
}

const DATA = 'data: ';
const REQUEST_LIMIT_MS = 60_000;

/** Asks a gateway for a chat, streamed, and times its first token. */
export async function askChat(address: string, body: object): Promise<Asked> {
  const sentAtMs = performance.now();
  let firstTokenMs: number | null = null;
  let text = '';
  let error: string | null = null;
  try {
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    for await (const data of readEvents(response)) {
      if (data.error !== undefined) throw new Error(JSON.stringify(data.error));
      const delta = data.choices?.[0]?.delta?.content ?? '';
      if (delta === '') continue;
      firstTokenMs ??= performance.now() - sentAtMs;
      text += delta;
    }
  } catch (thrown) {
    error = String(thrown);
  }
  return { sentAtMs, endedAtMs: performance.now(), firstTokenMs, text, error };
}

/** What a streamed chat tells at a time. */
export interface Chunk {
  readonly error?: object;
  readonly choices?: readonly { readonly delta?: { readonly content?: string } }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** The messages of a streamed chat. @throws Error where it ends before `[DONE]` */
export async function* readEvents(response: Response): AsyncGenerator<Chunk, void, undefined> {
  let rest = '';
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith(DATA)) continue;
      const data = line.slice(DATA.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data) as Chunk;
    }
  }
  throw new Error('The stream ended before [DONE]');
}

/** The value below which a share of the others lie, by nearest rank. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}
