import { invalid, RequestError } from '../errors.ts';
import type { KeyClass } from './access-key.ts';
import { formatDuration } from './rate-headers.ts';
import type { LimitState, Taking } from './rate-limiter.ts';

const MS_PER_S = 1_000;

/** No key was sent. */
export const missingKey = (): RequestError =>
  invalid(
    null,
    'This gateway needs an API key: send it as the header `Authorization: Bearer sk-janus-…`',
    'invalid_api_key',
    401,
  );

/** An unknown, a wrong and a revoked key look alike from outside, and none is repeated. */
export const wrongKey = (): RequestError =>
  invalid(null, 'Incorrect API key provided: it is unknown or was revoked', 'invalid_api_key', 401);

export const wrongClass = (wanted: KeyClass): RequestError =>
  invalid(null, `This address needs an API key of class ${wanted}`, 'insufficient_permissions', 403);

/** OpenAI's answer to who is over a limit, whose `type` is what there were too many of. */
export function limitReached(
  keyId: string,
  { kind, limit, used, amount }: LimitState,
  taking: Taking,
): RequestError {
  const [wait, advice] =
    amount > limit
      ? [taking.windowMs, 'it can never pass: shorten the prompt, or lower max_tokens or n']
      : [taking.waitMs, `try again in ${formatDuration(taking.waitMs)}`];
  const message =
    `Rate limit reached for API key ${keyId} on ${kind} per minute: limit ${limit}, used ${used}, ` +
    `requested ${amount}; ${advice}`;
  return new RequestError(
    { status: 429, type: kind, code: 'rate_limit_exceeded', param: null, message },
    Math.max(1, Math.ceil(wait / MS_PER_S)),
  );
}
