import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { RATE_HEADERS } from './rate-headers.ts';

/** How long a browser may remember what it may send, in seconds. */
const PREFLIGHT_AGE_S = 600;

/**
 * Lets scripts of these origins read answers; without this browsers let none. Keys travel in a header that a script must
 * set itself, so no credentials of the browser's are allowed.
 *
 * @param origins as browsers write them: `https://chat.example`
 */
export const allowOrigins = (origins: readonly string[]): MiddlewareHandler =>
  cors({
    origin: [...origins],
    allowMethods: ['GET', 'POST', 'DELETE'],
    exposeHeaders: ['X-Request-Id', 'Retry-After', ...RATE_HEADERS],
    maxAge: PREFLIGHT_AGE_S,
  });
