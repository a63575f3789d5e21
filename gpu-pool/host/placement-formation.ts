import { staticPlacement } from '../../shared/placement/placement.ts';
import type { HostRecord } from '../../shared/protocol/member.ts';
import { lostInstances } from '../../shared/replacement/loss.ts';
import { isEmptied, servingHosts } from '../../shared/replacement/transition.ts';
import type { PlacedInstance, Placement } from '../../shared/scheduler/layout.ts';
import type { Host } from './host.ts';
import { replaceLost } from './placement-repair.ts';
import { publishPlacement, takeVersion } from './placement-store.ts';

/** Expert instances that living hosts offer, in host order. */
export function offeredInstances(members: readonly HostRecord[]): PlacedInstance[] {
  return members
    .filter((member) => member.role === 'experts')
    .flatMap((member) => member.experts.map(() => member.host))
    .map((host, id) => ({ id, host }));
}

/** Hosts to which `placement` gives replicas and that are not among the living `members`. */
export function missingHosts(placement: Placement, members: readonly HostRecord[]): string[] {
  const living = new Set(members.map((member) => member.host));
  return servingHosts(placement).filter((host) => !living.has(host));
}

/** True when every instance to which `placement` gives replicas is there and ready. */
export function placementReady(placement: Placement, members: readonly HostRecord[]): boolean {
  return placement.instances
    .filter(({ id }) => !isEmptied(placement, id))
    .every(({ id, host }) =>
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

/**
 * Sees to it that a placement comes in force that the living hosts can serve.
 *
 * @param held the placement in force; null where there is none
 * @returns what is waited for; null where `held` is being served
 */
export async function formPlacement(
  host: Host,
  held: Placement | null,
  members: readonly HostRecord[],
): Promise<string | null> {
  const { redis, options } = host;
  if (held !== null) {
    const lost = lostInstances(held, members, []);
    const next = lost.length === 0 ? held : await replaceLost(redis, held, lost, members);
    if (next !== null) {
      const isServed = next === held && placementReady(held, members);
      return isServed ? null : `the experts of placement version ${next.version} to load`;
    }
  }
  const instances = offeredInstances(members);
  if (instances.length < options.poolExpertInstances) {
    return `${options.poolExpertInstances} expert instances, ${instances.length} are there`;
  }
  const version = await takeVersion(redis, options.model.name);
  await publishPlacement(redis, makePlacement(host, instances, members, version), held?.version ?? 0);
  return 'the experts of the new placement to load';
}

function makePlacement(
  host: Host,
  instances: Placement['instances'],
  members: readonly HostRecord[],
  version: number,
): Placement {
  const { config, options } = host;
  return staticPlacement({
    version,
    model: options.model.name,
    layers: config.layers,
    experts: config.experts,
    instances,
    capacity: offeredCapacity(members) ?? Math.ceil(config.experts / instances.length),
    scheduling: { scheduler: options.scheduler },
    ...(options.spareSlots && { spareSlots: options.spareSlots }),
  });
}
