import type { Access } from '../gateway/access/access.ts';
import { RequestError, unavailable } from '../gateway/errors.ts';

/** Seconds after which a client may look whether there is a key now. */
const RETRY_AFTER_S = 60;
const UNAUTHORIZED = 401;

const NO_KEY =
  'This gateway has no API key yet, and answers nobody before it has one: create one with "janus keys create ' +
  '--name <name>", or set the variable ALLOW_ANONYMOUS to "true" to let everybody in';

/**
 * Says that there is no key at all where that is why nobody is let in. A gateway on Node does not even start then, but a
 * Worker listens to the world once it is deployed.
 *
 * @param access one that lets nobody in without a key
 * @param anyKeyExists asked only about those who are refused
 */
export const closedAccess = (access: Access, anyKeyExists: () => Promise<boolean>): Access => ({
  ...access,
  async admit(authorization, wanted) {
    try {
      return await access.admit(authorization, wanted);
    } catch (error) {
      const isRefused = error instanceof RequestError && error.failure.status === UNAUTHORIZED;
      if (isRefused && !(await anyKeyExists())) throw unavailable('no_api_key', NO_KEY, RETRY_AFTER_S);
      throw error;
    }
  },
});
