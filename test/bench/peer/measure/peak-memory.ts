import { readdirSync, readFileSync } from 'node:fs';

/** A process, and those that it started, and so on. */
function processTree(root: number): number[] {
  const found = [root];
  for (const pid of found) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8');
      found.push(...children.split(' ').filter(Boolean).map(Number));
    }
  }
  return found;
}

/**
 * Largest amount of memory that each process of a tree has held so far, all together; files that are mapped count as far
 * as they were read.
 *
 * @returns MiB
 */
export function peakMemoryMib(root: number): number {
  const kib = processTree(root).map((pid) => {
    const [, peak] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(peak ?? 0);
  });
  return Math.round(kib.reduce((sum, each) => sum + each, 0) / 1_024);
}
