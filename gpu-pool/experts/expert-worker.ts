import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import { LaneServer, type LaneServerOptions } from '../exchange/lane-server.ts';
import { loadKernels } from '../kernels/load-kernels.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import type { KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import { kernelTasks } from '../runtime/kernel/kernel-tasks.ts';
import { QuantizedProducts } from '../runtime/kernel/quantized-products.ts';
import { openModel } from '../runtime/open-model.ts';
import { TeamBoard } from '../team/team-board.ts';
import type { ExpertCommand, ExpertWorkerData, ExpertWorkerMessage } from './expert-instance.ts';
import { type LoadOrder, ReplicaLoader } from './replica-loader.ts';

/** Thread of one expert instance: loads the experts of its slots, then serves the lanes of its host until told to stop. */
const data = workerData as ExpertWorkerData;
const { shared, instance } = data;
const port = parentPort!;
const say = (message: ExpertWorkerMessage): void => port.postMessage(message);

/** The model's files stay open: more experts may be loaded at any time. */
function load(): ExpertModel {
  const { config, weights, formats } = openModel(data.model);
  const loaded = new ExpertModel(config, weights, formats, data.kernels);
  for (const { layer, expert, isThere } of data.experts) {
    if (isThere) loaded.adopt(layer, expert);
    else loaded.load(layer, expert);
  }
  return loaded;
}

/** Loads an expert while the instance serves, and tells the host. */
function loadBeside(experts: ExpertModel, { layer, expert, isThere }: LoadOrder): void {
  try {
    if (isThere) experts.adopt(layer, expert);
    else experts.load(layer, expert);
    say({ kind: 'loaded', layer, expert });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say({ kind: 'not-loaded', layer, expert, message });
  }
}

/** Carries out what the host says; the loop below blocks this thread, so its messages are read by hand. */
function control(experts: ExpertModel, loader: ReplicaLoader): 'go on' | 'stop' {
  for (let said = receiveMessageOnPort(port); said !== undefined; said = receiveMessageOnPort(port)) {
    const command = said.message as ExpertCommand;
    if (command.kind === 'stop') return 'stop';
    if (command.kind === 'load') loader.add(command.orders, command.urgent);
    else if (command.kind === 'pass') say({ kind: 'passed' });
    else if (command.kind === 'crash') throw new Error('it was told to crash');
    else for (const { layer, expert } of command.experts) experts.unload(layer, expert);
  }
  return 'go on';
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
  const loader = new ReplicaLoader(
    (order) => loadBeside(experts, order),
    () => memory.counters(instance).layerSteps,
  );
  const server = new LaneServer(
    memory,
    lanes,
    instance,
    (layer, expert, input, rows, output) => experts.run(layer, expert, input, rows, output),
    {
      ...helpOptions(data.kernels, data.team),
      computePairs: experts.runPairs,
      aside: () => loader.run(() => performance.now()),
    },
  );
  memory.setAlive(instance, true);
  say({ kind: 'ready', loadedBytes: experts.loadedBytes, loadMs: performance.now() - startedAt });
  server.run(() => control(experts, loader));
  memory.setAlive(instance, false);
} catch (error) {
  say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}
port.close();
