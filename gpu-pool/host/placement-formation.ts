import type { HostRecord } from '../../shared/protocol/member.ts';
import type { PlacedInstance, Placement } from '../../shared/scheduler/layout.ts';

/** Expert instances that living hosts offer, in host order. */
export function offeredInstances(members: readonly HostRecord[]): PlacedInstance[] {
  return members
    .filter((member) => member.role === 'experts')
    .flatMap((member) => member.experts.map(() => member.host))
    .map((host, id) => ({ id, host }));
}

/** Hosts of `placement` that are not among the living `members`. */
export function missingHosts(placement: Placement, members: readonly HostRecord[]): string[] {
  const living = new Set(members.map((member) => member.host));
  const hosts = new Set(placement.instances.map((instance) => instance.host));
  return [...hosts].filter((host) => !living.has(host));
}

/** True when every instance of `placement` is there and ready. */
export function placementReady(placement: Placement, members: readonly HostRecord[]): boolean {
  return placement.instances.every(({ id, host }) =>
    members
      .find((member) => member.host === host)
      ?.experts.some((expert) => expert.id === id && expert.state === 'ready'),
  );
}

/** Replica slots per instance that the offering hosts asked for; null where they leave it open. */
export function offeredCapacity(members: readonly HostRecord[]): number | null {
  const slots = members
    .filter((member) => member.role === 'experts')
    .flatMap((member) => member.experts.map((expert) => expert.slots))
    .filter((count) => count > 0);
  return slots.length === 0 ? null : Math.min(...slots);
}
