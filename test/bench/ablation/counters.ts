import type { Redis } from 'ioredis';
import { readMembers } from '../../../gpu-pool/host/membership.ts';
import type { HostRecord, TrafficRecord } from '../../../shared/protocol/member.ts';
import type { Cell } from './cell.ts';

type Counted = Pick<Cell, 'messagesPerLayerStep' | 'bytesPerLayerStep' | 'aMax'>;

/**
 * What the hosts of a model counted at their links since their start. A layer step of the whole pool is one of every sender:
 * of every attention host, or with one phase of every attention instance.
 */
export async function readCounters(redis: Redis, model: string, phases: Cell['phases']): Promise<Counted> {
  const members = await readMembers(redis, model);
  const instancesOf = new Map(members.map(({ host, experts }) => [host, experts.length]));
  const senders = members.filter(({ traffic }) => traffic.length > 0);
  const perStep = (count: (way: TrafficRecord) => number): number =>
    senders.reduce((sum, sender) => {
      const total = sender.traffic.reduce((all, way) => all + count(way), 0);
      return sum + total / layerSteps(sender, instancesOf, phases);
    }, 0);
  const activated = members.flatMap(({ experts }) => experts.map(({ meanActivated }) => meanActivated));
  return {
    messagesPerLayerStep: perStep((way) => way.messagesSent),
    bytesPerLayerStep: Math.round(perStep((way) => way.bytes)),
    aMax: Math.max(...activated),
  };
}

/**
 * Layer steps of a host whose instances step together, or of one of its instances on average where each steps alone. A step
 * passes over the relay, or over the direct way to every host that has a share in it: so the way that is used most counts.
 */
function layerSteps(
  { traffic, attention }: HostRecord,
  expertInstancesOf: ReadonlyMap<string, number>,
  phases: Cell['phases'],
): number {
  let direct = 0;
  let relayed = 0;
  for (const way of traffic) {
    if (way.kind === 'relay') relayed += way.layerSteps;
    // With one phase a way stands for links from each attention instance to each expert instance of the host.
    const links = phases === '1PC' ? attention.length * (expertInstancesOf.get(way.host) ?? 1) : 1;
    if (way.kind !== 'relay') direct = Math.max(direct, way.layerSteps / links);
  }
  return direct + relayed;
}
