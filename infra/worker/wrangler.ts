import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const pathTo = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const PROGRAM = pathTo('../../node_modules/wrangler/bin/wrangler.js');
export const WRANGLER_CONFIGURATION = pathTo('../wrangler.jsonc');
/** Otherwise it asks the internet for an example of a request, and tells its maker that it runs. */
const QUIET = {
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
};

/**
 * Starts wrangler on our configuration. Ended with SIGTERM it ends its own processes, which `npx` would leave behind.
 *
 * @param options `env` is added to the environment
 */
export const startWrangler = (args: readonly string[], options: SpawnOptions = {}): ChildProcess =>
  spawn(process.execPath, [PROGRAM, ...args, '--config', WRANGLER_CONFIGURATION], {
    ...options,
    env: { ...process.env, ...QUIET, ...options.env },
  });
