import type { Context } from 'hono';
import type { GatewayEnvironment } from '../dependencies.ts';
import { limitReached } from './access-errors.ts';
import type { AccessKey } from './access-key.ts';
import { rateHeaders } from './rate-headers.ts';
import type { RateLimiter, Taking } from './rate-limiter.ts';

/** Tells how many tokens a request used in the end; to be called once. */
export type Settle = Taking['settle'];

/**
 * Charges one request to its sender's key, and puts the state of the key's limits into the answer's headers.
 *
 * @param key null: nothing is charged
 * @param tokens estimate; corrected by what is returned
 * @throws {RequestError} 429 when a limit is reached; nothing is charged then
 */
export async function chargeRequest(
  c: Context<GatewayEnvironment>,
  limiter: RateLimiter,
  key: AccessKey | null,
  tokens: number,
): Promise<Settle> {
  if (key === null) return async () => {};
  const taking = await limiter.take(key, tokens);
  for (const [name, value] of taking.limits.flatMap(rateHeaders)) c.header(name, value);
  if (taking.refused !== null) throw limitReached(key.id, taking.refused, taking);
  return taking.settle;
}
