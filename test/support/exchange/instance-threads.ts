import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { openHostMemory, openLane, type SharedExchange } from '../../../gpu-pool/exchange/lane-memory.ts';

/** What an instance thread is started with. */
export interface InstanceThreadData {
  readonly shared: SharedExchange;
  readonly instance: number;
  readonly behaviour: SharedArrayBuffer;
}

/** The expert instances of one host with test experts, each on a thread of its own. */
export class InstanceThreads {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  static async start(
    shared: SharedExchange,
    placementVersion: number,
    behaviour: SharedArrayBuffer,
  ): Promise<InstanceThreads> {
    const memory = openHostMemory(shared);
    memory.serveVersions(placementVersion, placementVersion);
    const lanes = shared.lanes.map((_, index) => openLane(shared, index));
    const workers = Array.from({ length: shared.instances }, (_, index) => {
      const instance = shared.firstInstance + index;
      const data: InstanceThreadData = { shared, instance, behaviour };
      const worker = new Worker(new URL('./instance-thread.ts', import.meta.url), { workerData: data });
      worker.once('exit', () => {
        memory.setAlive(instance, false);
        for (const lane of lanes) lane.wakeSender();
      });
      return worker;
    });
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    return new InstanceThreads(workers);
  }

  /** Ends the threads at once, as a crash would. */
  async kill(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
