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
  const senders = (await readMembers(redis, model)).filter(({ exchange }) => exchange?.layerSteps);
  const sum = (value: (sender: HostRecord) => number): number =>
    senders.reduce((all, sender) => all + value(sender), 0);
  const perStep = (count: (way: TrafficRecord) => number): number =>
    sum((sender) => {
      const sendersOfHost = phases === '1PC' ? sender.attention.length : 1;
      const total = sender.traffic.reduce((all, way) => all + count(way), 0);
      return (total * sendersOfHost) / sender.exchange!.layerSteps;
    });
  return {
    messagesPerLayerStep: perStep((way) => way.messagesSent),
    bytesPerLayerStep: Math.round(perStep((way) => way.bytes)),
    aMax:
      sum(({ exchange }) => exchange!.meanAMax * exchange!.layerSteps) /
      sum(({ exchange }) => exchange!.layerSteps),
  };
}
