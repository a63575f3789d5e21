import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { loadModelFolder } from '../checkpoint/model-folder.ts';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import { LaneServer } from '../exchange/lane-server.ts';
import { checkpointWeights } from '../runtime/checkpoint-weights.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import type { ExpertWorkerData, ExpertWorkerMessage } from './expert-instance.ts';

/** Thread of one expert instance: loads the experts of its slots, then serves the lanes of its host until told to stop. */
const { model, shared, instance, experts, placementVersion } = workerData as ExpertWorkerData;
const port = parentPort!;
const say = (message: ExpertWorkerMessage): void => port.postMessage(message);

function load(): ExpertModel {
  const { config, checkpoint } = loadModelFolder(model.folder);
  const loaded = new ExpertModel(config, checkpointWeights(checkpoint), { weightForm: model.weightForm });
  for (const [layer, ids] of experts.entries()) {
    for (const expert of ids) loaded.load(layer, expert);
  }
  checkpoint.close();
  return loaded;
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
