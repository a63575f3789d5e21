import { createHash } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { report, SetupError } from './report.mjs';

const WAIT_LIMIT_MS = 15 * 60_000;
const POLL_INTERVAL_MS = 200;

/**
 * Runs `work` while no other set-up of the same checkout does. The lock lies outside the checkout, because `npm ci`
 * replaces node_modules, and holds the process id of its owner: a lock whose owner has died is taken over.
 *
 * @param {string} root the checkout
 * @param {() => Promise<void>} work
 */
export async function withSetupLock(root, work) {
  const name = createHash('sha256').update(root).digest('hex').slice(0, 16);
  const lock = join(tmpdir(), `janus-setup-${process.getuid?.() ?? 0}-${name}.lock`);
  await acquire(lock);
  try {
    await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock */
async function acquire(lock) {
  // Linking a finished file makes the lock and its content appear in one step.
  const claim = `${lock}.${process.pid}`;
  writeFileSync(claim, String(process.pid));
  try {
    const deadlineMs = Date.now() + WAIT_LIMIT_MS;
    let hasReported = false;
    while (!tryLink(claim, lock)) {
      const owner = readOwner(lock);
      if (owner !== undefined && !isAlive(owner)) {
        removeStale(lock, owner);
        continue;
      }
      if (Date.now() > deadlineMs) {
        throw new SetupError(
          `another set-up (process ${owner}) has not finished. End it, or delete ${lock}.`,
        );
      }
      if (!hasReported) report(`waiting for another set-up of this checkout (process ${owner}) …`);
      hasReported = true;
      await sleep(POLL_INTERVAL_MS);
    }
  } finally {
    rmSync(claim, { force: true });
  }
}

/**
 * @param {string} claim
 * @param {string} lock
 */
function tryLink(claim, lock) {
  try {
    linkSync(claim, lock);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/**
 * @param {string} lock
 * @returns {number | undefined} undefined when the lock has just been released
 */
function readOwner(lock) {
  try {
    return Number(readFileSync(lock, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}

/**
 * Moves the lock away before deleting it, so that of several waiters one removes it.
 *
 * @param {string} lock
 * @param {number} owner
 */
function removeStale(lock, owner) {
  const grave = `${lock}.stale-${owner}`;
  try {
    renameSync(lock, grave);
    rmSync(grave, { force: true });
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/**
 * @param {unknown} error
 * @param {string} code
 */
function isErrno(error, code) {
  return error instanceof Error && 'code' in error && error.code === code;
}
