import fs from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PackWorkerData, PackWorkerMessage } from './pack-threads.ts';
import { RowReader } from './row-reader.ts';
import { largestSlice, writeGroup } from './write-group.ts';

/** Thread that packs one group after the other, until none is left that another thread has not taken. */
const { folder, target, groups, taken } = workerData as PackWorkerData;
const port = parentPort!;
const say = (message: PackWorkerMessage): void => port.postMessage(message);
const descriptors = new Map<string, number>();

function descriptorOf(path: string): number {
  const descriptor = descriptors.get(path) ?? fs.openSync(path, 'r+');
  descriptors.set(path, descriptor);
  return descriptor;
}

try {
  const reader = new RowReader(folder, largestSlice(groups));
  for (let index = Atomics.add(taken, 0, 1); index < groups.length; index = Atomics.add(taken, 0, 1)) {
    const group = groups[index]!;
    const path = join(target, group.file);
    const file = { path, descriptor: descriptorOf(path) };
    const checksum = writeGroup(group, reader, file, (weights) => say({ kind: 'progress', weights }));
    say({ kind: 'group', index, checksum });
  }
  reader.close();
} catch (error) {
  const { message, stack } = error as Error;
  say(
    error instanceof JanusError
      ? { kind: 'failed', message }
      : { kind: 'defect', message: stack ?? String(error) },
  );
}
for (const descriptor of descriptors.values()) fs.closeSync(descriptor);
