import { HostMemory } from './host-memory.ts';
import { Lane } from './lane.ts';
import type { LaneMemory, LaneOptions } from './lane-layout.ts';

/** Everything that the threads of one host share for the exchange, in a form that a worker thread can be given. */
export interface SharedExchange {
  readonly host: string;
  readonly firstInstance: number;
  readonly instances: number;
  readonly hostMemory: SharedArrayBuffer;
  readonly laneOptions: LaneOptions;
  /** One lane per attention instance of the host, and one for the endpoint of remote links. */
  readonly lanes: readonly LaneMemory[];
}

/**
 * Allocates the shared memory of a host with `lanes` senders.
 *
 * @param places of the lanes, as many; made anew when absent
 */
export function allocateSharedExchange(
  host: string,
  firstInstance: number,
  laneOptions: LaneOptions,
  lanes: number,
  places?: readonly LaneMemory[],
): SharedExchange {
  return {
    host,
    firstInstance,
    instances: laneOptions.instances,
    hostMemory: new HostMemory(firstInstance, laneOptions.instances).buffer,
    laneOptions,
    lanes: places ?? Array.from({ length: lanes }, () => new Lane(laneOptions).memory),
  };
}

/** The doorbells of `shared`, in whichever thread this is called. */
export function openHostMemory(shared: SharedExchange): HostMemory {
  return new HostMemory(shared.firstInstance, shared.instances, shared.hostMemory);
}

/** Lane number `index` of `shared`, in whichever thread this is called. */
export function openLane(shared: SharedExchange, index: number): Lane {
  return new Lane(shared.laneOptions, shared.lanes[index]!);
}
