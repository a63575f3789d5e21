import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { JanusError } from '../../../shared/errors/janus-error.ts';

/** Leftovers of other machines on a shared disk are taken for dead when nothing was written to them for so long. */
const FOREIGN_LIFE_MS = 60 * 60_000;

/** Who packs: temporary folders bear it in their names. */
export interface PackOwner {
  readonly hostname: string;
  readonly pid: number;
}

/**
 * Makes the hidden folder beside `target` in which a packed model grows, after it has removed those that dead runs have
 * left there.
 *
 * @throws JanusError if another process packs into `target` right now, or the folder cannot be made
 */
export function makeTemporaryFolder(target: string, owner: PackOwner, nowMs: number): string {
  const parent = dirname(target);
  try {
    fs.mkdirSync(parent, { recursive: true });
    for (const { path, by } of leftoversOf(target)) {
      if (isAlive(path, by, owner, nowMs)) {
        throw new JanusError(
          `process ${by.pid} on ${by.hostname} packs into ${target} right now: wait for it, or end it; if it is something ` +
            `else, remove ${path}`,
        );
      }
      fs.rmSync(path, { recursive: true, force: true });
    }
    const path = join(parent, `${prefixOf(target)}${owner.hostname}-${owner.pid}`);
    fs.mkdirSync(path);
    return path;
  } catch (cause) {
    if (cause instanceof JanusError) throw cause;
    throw new JanusError(`${target} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

/** Where the old content of a target waits to be removed while the new one takes its place. */
export const replacedFolder = (temporary: string): string => `${temporary}.old`;

const prefixOf = (target: string): string => `.${basename(target)}.packing-`;

function leftoversOf(target: string): { path: string; by: PackOwner }[] {
  const parent = dirname(target);
  const prefix = prefixOf(target);
  return fs
    .readdirSync(parent)
    .filter((name) => name.startsWith(prefix))
    .flatMap((name) => {
      const found = /^(.+)-(\d+)(\.old)?$/.exec(name.slice(prefix.length));
      if (found === null) return [];
      return [{ path: join(parent, name), by: { hostname: found[1]!, pid: Number(found[2]) } }];
    });
}

function isAlive(path: string, by: PackOwner, self: PackOwner, nowMs: number): boolean {
  if (by.hostname !== self.hostname) return nowMs - latestWriteMs(path) < FOREIGN_LIFE_MS;
  // The own number is that of a dead process: this one has only begun.
  return by.pid !== self.pid && processExists(by.pid);
}

function latestWriteMs(folder: string): number {
  const paths = [folder, ...fs.readdirSync(folder).map((name) => join(folder, name))];
  return Math.max(...paths.map((path) => fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
