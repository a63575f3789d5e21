import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describeSpawnError, spawnOwned } from '../systems/pinned.ts';

/** However the benchmark ends, the loop does too. */
const LONGEST_LIFE_MS = 20 * 60_000;
const BUSY_LOOP = `for (const end = Date.now() + ${LONGEST_LIFE_MS}; Date.now() < end; );`;
const NS_PER_MS = 1e6;

/** Nanoseconds for which a process's first thread has run. */
function runningNs(processId: number): number {
  return Number(readFileSync(`/proc/${processId}/schedstat`, 'utf8').split(' ')[0]);
}

/**
 * Runs something beside another process that wants one processor for itself.
 *
 * @param processor number of the processor, as `taskset -c` takes it
 * @returns the result, and which share of the time the other process ran
 * @throws JanusError where processes cannot be pinned
 */
export async function besideNeighbour<Result>(
  processor: string,
  run: () => Promise<Result>,
): Promise<{ result: Result; neighbourShare: number }> {
  const child = spawnOwned(process.execPath, ['-e', BUSY_LOOP], processor, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  exited.catch(() => {});
  await once(child, 'spawn').catch((error) => Promise.reject(describeSpawnError(error)));
  try {
    const startedAtMs = performance.now();
    const before = runningNs(child.pid!);
    const result = await run();
    const ranMs = (runningNs(child.pid!) - before) / NS_PER_MS;
    return { result, neighbourShare: ranMs / (performance.now() - startedAtMs) };
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}
