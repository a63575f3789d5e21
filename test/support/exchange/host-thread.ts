import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { SharedExchange } from '../../../gpu-pool/exchange/lane-memory.ts';
import { InstanceThreads } from './instance-threads.ts';

/** What a host thread is started with. */
export interface HostThreadData {
  readonly shared: SharedExchange;
  readonly placementVersion: number;
  readonly behaviour: SharedArrayBuffer;
}

/**
 * Stands in for the main thread of a host: it owns the instance threads and sees them end, while the sender, on another
 * thread, may be blocked. It is told by a number after how many milliseconds to kill them.
 */
const { shared, placementVersion, behaviour } = workerData as HostThreadData;
const port = parentPort!;
const instances = await InstanceThreads.start(shared, placementVersion, behaviour);
port.on('message', async (afterMs: number) => {
  await sleep(afterMs);
  await instances.kill();
  port.postMessage('killed');
});
port.postMessage('ready');
