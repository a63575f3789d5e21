import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { allocateSharedExchange, openHostMemory, openLane } from '../../../gpu-pool/exchange/lane-memory.ts';
import { SharedMemoryLink } from '../../../gpu-pool/exchange/shared-memory-link.ts';
import type { HostThreadData } from './host-thread.ts';
import {
  type HarnessOptions,
  HOST,
  harnessPlacement,
  type LinkHarness,
  PLACEMENT_VERSION,
  SHAPE,
} from './link-harness.ts';
import { BehaviourSwitch } from './test-expert.ts';

/** A link over shared memory to instance threads. */
export async function startSharedMemoryHarness(
  wait: 'block' | 'yield',
  options: HarnessOptions,
): Promise<LinkHarness> {
  const { instances, overdueAfterMs, peerVersion = PLACEMENT_VERSION } = options;
  const placement = harnessPlacement(instances);
  const laneOptions = { shape: SHAPE, instances, placedInstances: instances, experts: placement.experts };
  const shared = allocateSharedExchange(HOST, 0, laneOptions, 1);
  const lane = openLane(shared, 0);
  const behaviour = BehaviourSwitch.allocate();
  const data: HostThreadData = { shared, placementVersion: peerVersion, behaviour };
  const host = new Worker(new URL('./host-thread.ts', import.meta.url), { workerData: data });
  await once(host, 'message');
  const link = new SharedMemoryLink({
    host: HOST,
    memory: openHostMemory(shared),
    lane: options.doubleAnswers ? answeringTwice(lane, instances) : lane,
    placement,
    wait,
    overdueAfterMs,
  });
  const switched = new BehaviourSwitch(behaviour);
  return {
    link,
    setBehaviour: (mode) => switched.set(mode),
    losePeer: async (afterMs) => {
      const killed = once(host, 'message');
      host.postMessage(afterMs);
      await killed;
    },
    waitingSteps: async () => 0,
    close: async () => {
      await link.close();
      switched.set('compute');
      await host.terminate();
    },
  };
}

/** Each request is answered a second time, at the worst moment: right after the next one was made. */
function answeringTwice(lane: ReturnType<typeof openLane>, instances: number): typeof lane {
  const answered = new Array<number | undefined>(instances);
  const ask = lane.ask.bind(lane);
  lane.ask = (index, groups) => {
    ask(index, groups);
    if (answered[index] !== undefined) lane.answer(index, answered[index]);
    answered[index] = lane.request(index);
  };
  return lane;
}
