import { ApiException } from '@kubernetes/client-node';

/** Most of an API server's own words that are repeated. */
const LONGEST_MESSAGE = 300;
const MOST_CAUSES = 4;

/** Why an API server did not do what it was asked. */
export type ApiFailure =
  /** The object was changed since it was read. */
  | { readonly kind: 'conflict' }
  /** It wants to be asked later; null: it does not say when. */
  | { readonly kind: 'busy'; readonly retryAfterMs: number | null }
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'forbidden' | 'missing' | 'rejected' | 'broken'; readonly message: string }
  /** Nobody answered. */
  | { readonly kind: 'unreachable'; readonly message: string };

/** @param error what a call of the client threw */
export function apiFailureOf(error: unknown): ApiFailure {
  if (!(error instanceof ApiException)) return { kind: 'unreachable', message: deepestMessage(error) };
  const { code, body, headers } = error;
  const retryAfterMs = retryAfterOf(headers);
  if (code === 409) return { kind: 'conflict' };
  if (code === 429 || (code === 503 && retryAfterMs !== null)) return { kind: 'busy', retryAfterMs };
  if (code === 401) return { kind: 'unauthorized' };
  const message = `${code}: ${statusMessage(body)}`;
  if (code === 403) return { kind: 'forbidden', message };
  if (code === 404) return { kind: 'missing', message };
  return { kind: code >= 500 ? 'broken' : 'rejected', message };
}

function retryAfterOf(headers: Readonly<Record<string, string>>): number | null {
  const text = headers['retry-after'] ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : null;
}

/** What a `Status` says, or whatever came instead of one. */
function statusMessage(body: unknown): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? '');
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return String(message ?? text).slice(0, LONGEST_MESSAGE);
  } catch {
    return text.slice(0, LONGEST_MESSAGE);
  }
}

/** `fetch failed` says nothing; its cause does. */
function deepestMessage(error: unknown): string {
  let found = error;
  for (let depth = 0; depth < MOST_CAUSES; depth += 1) {
    if (!(found instanceof Error) || found.cause === undefined) break;
    found = found.cause;
  }
  const { code } = found as { code?: unknown };
  const message = found instanceof Error ? found.message : String(found);
  return (message === '' ? String(code) : message).slice(0, LONGEST_MESSAGE);
}
