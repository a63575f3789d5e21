import { parentPort, workerData } from 'node:worker_threads';
import { openHostMemory, openLane } from '../../../gpu-pool/exchange/lane-memory.ts';
import { LaneServer } from '../../../gpu-pool/exchange/lane-server.ts';
import type { InstanceThreadData } from './instance-threads.ts';
import { BehaviourSwitch } from './test-expert.ts';

/** Thread of one expert instance with test experts. It serves until it is ended from outside. */
const { shared, instance, behaviour } = workerData as InstanceThreadData;
const memory = openHostMemory(shared);
const lanes = shared.lanes.map((_, index) => openLane(shared, index));
const experts = new BehaviourSwitch(behaviour);
const server = new LaneServer(memory, lanes, instance, experts.compute);
memory.setAlive(instance, true);
parentPort!.postMessage('ready');
server.run(() => 'go on');
