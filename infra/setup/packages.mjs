import { readFileSync } from 'node:fs';
import { basename, delimiter, join, sep } from 'node:path';
import { report, SetupError, secondsSince } from './report.mjs';
import { runCommand } from './run-command.mjs';

const NPM_TIMEOUT_MS = 15 * 60_000;

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean }} LockedPackage */

/**
 * Compares package-lock.json with the record that npm keeps of what it installed. npm writes that record last, so an
 * installation that was cut short counts as none.
 *
 * @param {string} root the checkout
 */
export function arePackagesInstalled(root) {
  const wanted = readLockedPackages(join(root, 'package-lock.json'));
  const installed = readLockedPackages(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === undefined)
    throw new SetupError('package-lock.json is missing: get a complete checkout of Janus.');
  if (installed === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path];
    if (path === '') return true;
    if (found === undefined) return entry.optional === true || entry.devOptional === true;
    // Entries for other platforms may lack the checksum that npm records once it has installed them.
    const isSameArchive = entry.integrity === undefined || found.integrity === entry.integrity;
    return found.version === entry.version && isSameArchive;
  });
}

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage> | undefined}
 */
function readLockedPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} root the checkout
 * @throws {SetupError} with the end of npm's output
 */
export async function installPackages(root) {
  const startedMs = Date.now();
  report('installing npm packages (npm ci), about half a minute the first time …');
  const options = ['--include=dev', '--no-audit', '--no-fund', '--no-progress', '--loglevel=error'];
  const { ok, output } = await runNpm(root, ['ci', ...options]);
  if (!ok) {
    throw new SetupError(
      `npm ci failed:\n${output}\nCheck that npm reaches its registry (npm ping), then run the same command again.`,
    );
  }
  report(`npm packages installed in ${secondsSince(startedMs)}.`);
}

/**
 * Runs npm on a Node that does not lie in node_modules: `npm ci` deletes that folder first, and in an npm script our own
 * Node may be the one in there.
 *
 * @param {string} root the checkout
 * @param {string[]} args
 */
export function runNpm(root, args) {
  const modules = join(root, 'node_modules') + sep;
  const cli = process.env.npm_execpath;
  const node = [process.env.npm_node_execpath, process.execPath].find(
    (candidate) => candidate !== undefined && !candidate.startsWith(modules),
  );
  // Other package managers set npm_execpath too, to themselves.
  const isNpm = cli !== undefined && basename(cli) === 'npm-cli.js';
  const [command, leading] = isNpm && node !== undefined ? [node, [cli]] : ['npm', []];
  const env = environmentOutside(modules);
  return runCommand(command, [...leading, ...args], { cwd: root, env, timeoutMs: NPM_TIMEOUT_MS });
}

/**
 * An npm that runs on the Node in node_modules looks for its global configuration in there, and hands that on in
 * variables of the environment: with them the new npm would miss the machine's registry and certificates.
 *
 * @param {string} modules the folder that npm is going to replace
 */
function environmentOutside(modules) {
  const entries = Object.entries(process.env).filter(([, value]) => !value?.startsWith(modules));
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !(folder + sep).startsWith(modules));
  return {
    ...Object.fromEntries(entries),
    PATH: path.join(delimiter),
    // The CPU provider comes with onnxruntime-node; its install script would fetch CUDA libraries.
    ONNXRUNTIME_NODE_INSTALL: 'skip',
  };
}
