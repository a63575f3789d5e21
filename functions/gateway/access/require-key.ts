import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../dependencies.ts';
import type { Access } from './access.ts';
import type { KeyClass } from './access-key.ts';

/** Lets only those pass who send a key of the class that is wanted, and tells the routes which one it was. */
export const requireKey =
  (access: Access, wanted: KeyClass): MiddlewareHandler<GatewayEnvironment> =>
  async (c, next) => {
    c.set('accessKey', await access.admit(c.req.header('Authorization'), wanted));
    await next();
  };
