import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { JanusError } from '../../../shared/errors/janus-error.ts';

/**
 * Starts a program that is ended when this process exits.
 *
 * @param processors that it and what it starts may use, as `taskset -c` takes them; by default all
 */
export function spawnOwned(
  program: string,
  args: readonly string[],
  processors: string | undefined,
  options: SpawnOptions,
): ChildProcess {
  // taskset becomes the program, so the child is the program itself.
  const [first, ...rest] =
    processors === undefined ? [program, ...args] : ['taskset', '-c', processors, program, ...args];
  const child = spawn(first!, rest, options);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

/** What an error of starting a program means to a user. */
export function describeSpawnError(error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT' || error.path !== 'taskset') return error;
  return new JanusError('This benchmark pins processes by taskset, which is not on PATH: it runs on Linux.', {
    cause: error,
  });
}
