import type { LimitState } from './rate-limiter.ts';

const MS_PER_S = 1_000;
const MS_PER_MIN = 60_000;

/** A time as OpenAI's headers write it: `17ms`, `8.64s`, `1m0.5s`. */
export function formatDuration(ms: number): string {
  if (ms < MS_PER_S) return `${ms}ms`;
  if (ms < MS_PER_MIN) return `${ms / MS_PER_S}s`;
  return `${Math.floor(ms / MS_PER_MIN)}m${(ms % MS_PER_MIN) / MS_PER_S}s`;
}

/** OpenAI's headers about one limit. */
export const rateHeaders = ({ kind, limit, used, resetMs }: LimitState): [name: string, value: string][] => [
  [`x-ratelimit-limit-${kind}`, String(limit)],
  [`x-ratelimit-remaining-${kind}`, String(Math.max(0, limit - used))],
  [`x-ratelimit-reset-${kind}`, formatDuration(resetMs)],
];

/** Headers that a script in a browser may read, where its origin is allowed at all. */
export const RATE_HEADERS: readonly string[] = (['requests', 'tokens'] as const).flatMap((kind) =>
  rateHeaders({ kind, limit: 0, used: 0, amount: 0, resetMs: 0 }).map(([name]) => name),
);
