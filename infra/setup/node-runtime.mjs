import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runNpm } from './packages.mjs';
import { report, SetupError } from './report.mjs';

const NODE_MAJOR = 24;
const VERSION_TIMEOUT_MS = 10_000;

/**
 * The `node` package puts Node 24 first on PATH of every npm script; its install script fetches the program.
 *
 * @param {string} root the checkout
 * @returns {string | undefined} the version, as in `v24.21.0`, or undefined when that Node is missing or does not run
 */
export function projectNodeVersion(root) {
  const program = join(root, 'node_modules', '.bin', 'node');
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: VERSION_TIMEOUT_MS });
  const version = stdout?.trim();
  return version?.startsWith(`v${NODE_MAJOR}.`) ? version : undefined;
}

/**
 * Runs the install script that npm left out, which happens when npm is configured to run none.
 *
 * @param {string} root the checkout
 * @throws {SetupError} with the command that overrides such a configuration
 */
export async function installNodeRuntime(root) {
  report(`fetching Node ${NODE_MAJOR} (npm rebuild node) …`);
  const { output } = await runNpm(root, ['rebuild', 'node', '--loglevel=error']);
  if (projectNodeVersion(root) !== undefined) return;
  throw new SetupError(
    `node_modules/.bin/node does not run or is not Node ${NODE_MAJOR}: npm has not run the install script of the package "node".\n` +
      `${output}\nAllow it once with: npm rebuild node --ignore-scripts=false`,
  );
}
