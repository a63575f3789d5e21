import { invalid } from './errors.ts';

/** Header by which a client bounds the time that its request may take, whole. */
export const REQUEST_TIMEOUT_HEADER = 'x-request-timeout';

const MS_PER_S = 1_000;
const TIMEOUT = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s)?$/;

/**
 * @param text the header as it came
 * @returns time in milliseconds; null where there is no such header
 * @throws {RequestError} 400, naming the header
 */
export function requestTimeoutMs(text: string | undefined): number | null {
  if (text === undefined) return null;
  const [, amount, unit] = TIMEOUT.exec(text.trim()) ?? [];
  const timeoutMs = Number(amount) * (unit === 'ms' ? 1 : MS_PER_S);
  if (timeoutMs > 0) return timeoutMs;
  throw invalid(
    REQUEST_TIMEOUT_HEADER,
    `Invalid '${REQUEST_TIMEOUT_HEADER}': must be seconds, such as 30 or 2.5, or milliseconds, such as 1500ms`,
  );
}
