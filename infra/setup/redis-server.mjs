import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { findExecutable } from './find-executable.mjs';
import { report, SetupError, secondsSince } from './report.mjs';
import { runCommand } from './run-command.mjs';

const APT_TIMEOUT_MS = 10 * 60_000;
const APT_LOCK_WAIT_SECONDS = 120;
const SERVICE_POLICY_PATH = '/usr/sbin/policy-rc.d';
const SERVICE_POLICY = `#!/bin/sh
# Written by the set-up of Janus while it installs redis-server, so that no service starts. Safe to delete.
exit 101
`;

/**
 * Redis comes from `REDIS_URL`, or is started by Janus from the `redis-server` on PATH.
 *
 * @param {{ mustBeLocal: boolean }} options with `mustBeLocal`, `REDIS_URL` is not enough: the tests start and stop servers
 */
export function isRedisAvailable({ mustBeLocal }) {
  if (!mustBeLocal && process.env.REDIS_URL) return true;
  return findExecutable('redis-server', process.env) !== undefined;
}

/**
 * Installs redis-server where that needs no question: as root on Debian or Ubuntu.
 *
 * @throws {SetupError} with the command to type, anywhere else
 */
export async function installRedis() {
  const apt = process.getuid?.() === 0 ? findExecutable('apt-get', process.env) : undefined;
  if (apt === undefined) throw new SetupError(`redis-server is not on PATH.\n${advice()}`);
  const startedMs = Date.now();
  report('installing redis-server (apt-get), only the program: no service is started …');
  const { ok, output } = await withoutServiceStart(() => aptInstall(apt));
  if (!ok || findExecutable('redis-server', process.env) === undefined) {
    throw new SetupError(`apt-get could not install redis-server:\n${output}\n${advice()}`);
  }
  report(`redis-server installed in ${secondsSince(startedMs)}.`);
}

/** @param {string} apt the full path of apt-get */
async function aptInstall(apt) {
  const options = {
    cwd: '/',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeoutMs: APT_TIMEOUT_MS,
  };
  const lockWait = ['-o', `DPkg::Lock::Timeout=${APT_LOCK_WAIT_SECONDS}`];
  // An update that fails, as without a network, need not matter: the package may be in the cache.
  const update = await runCommand(apt, [...lockWait, '-q', 'update'], options);
  const install = await runCommand(
    apt,
    [...lockWait, '-q', '-y', 'install', '--no-install-recommends', 'redis-server'],
    options,
  );
  if (!install.ok)
    return { ok: false, output: [update.ok ? '' : update.output, install.output].join('\n').trim() };
  const systemctl = existsSync('/run/systemd/system') ? findExecutable('systemctl', process.env) : undefined;
  if (systemctl !== undefined) await runCommand(systemctl, ['disable', 'redis-server'], options);
  return install;
}

/**
 * Debian's packages ask policy-rc.d before they start their service. A policy that is already there stays in force.
 *
 * @template T
 * @param {() => Promise<T>} install
 * @returns {Promise<T>}
 */
async function withoutServiceStart(install) {
  const isOurs = !existsSync(SERVICE_POLICY_PATH);
  if (isOurs) writeFileSync(SERVICE_POLICY_PATH, SERVICE_POLICY, { mode: 0o755 });
  try {
    return await install();
  } finally {
    if (isOurs) rmSync(SERVICE_POLICY_PATH, { force: true });
  }
}

function advice() {
  const commands = JSON.parse(
    readFileSync(new URL('../redis/install-commands.json', import.meta.url), 'utf8'),
  );
  const lines = Object.entries(commands).map(([system, command]) => `  ${system}: ${command}`);
  return `Install it, or set REDIS_URL to a server that runs:\n${lines.join('\n')}`;
}
