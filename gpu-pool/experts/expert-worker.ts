import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import { LaneServer, type LaneServerOptions } from '../exchange/lane-server.ts';
import { loadKernels } from '../kernels/kernels.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import type { KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import { kernelTasks } from '../runtime/kernel/kernel-tasks.ts';
import { QuantizedProducts } from '../runtime/kernel/quantized-products.ts';
import { openModel } from '../runtime/open-model.ts';
import { TeamBoard } from '../team/team-board.ts';
import type { ExpertWorkerData, ExpertWorkerMessage } from './expert-instance.ts';

/** Thread of one expert instance: loads the experts of its slots, then serves the lanes of its host until told to stop. */
const data = workerData as ExpertWorkerData;
const { shared, instance, placementVersion } = data;
const port = parentPort!;
const say = (message: ExpertWorkerMessage): void => port.postMessage(message);

function load(): ExpertModel {
  const { config, weights, formats, close } = openModel(data.model);
  const loaded = new ExpertModel(config, weights, formats, data.kernels);
  for (const [layer, ids] of data.experts.entries()) {
    for (const expert of ids) loaded.load(layer, expert);
  }
  close();
  return loaded;
}

/** Between layer steps, the first instances of a host help its attention instances. */
function helpOptions(kernels: KernelSource | undefined, team: TeamSource | undefined): LaneServerOptions {
  if (kernels === undefined || team === undefined) return {};
  const { spinMs, helpers } = team;
  if (instance - shared.firstInstance >= helpers) return { spinMs };
  const { memory, module, scratch } = kernels;
  const bound = loadKernels(memory, module);
  const products = new QuantizedProducts(bound, memory, kernels.products);
  const run = kernelTasks(bound, products, memory, scratch);
  const boards = team.boards.map((buffer) => new TeamBoard(buffer));
  return {
    spinMs,
    help: () => {
      for (const board of boards) board.help(run);
    },
  };
}

try {
  const startedAt = performance.now();
  const experts = load();
  const memory = openHostMemory(shared);
  const lanes = shared.lanes.map((_, index) => openLane(shared, index));
  const server = new LaneServer(
    memory,
    lanes,
    instance,
    placementVersion,
    (layer, expert, input, rows, output) => experts.run(layer, expert, input, rows, output),
    helpOptions(data.kernels, data.team),
  );
  memory.setAlive(instance, true);
  say({ kind: 'ready', loadedBytes: experts.loadedBytes, loadMs: performance.now() - startedAt });
  // The loop blocks this thread, so its messages are read by hand after each ring of the doorbell.
  server.run(() => (receiveMessageOnPort(port) === undefined ? 'go on' : 'stop'));
  memory.setAlive(instance, false);
} catch (error) {
  say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}
port.close();
