import type { HostRecord } from '../protocol/member.ts';
import { type Placement, placementHosts } from '../scheduler/layout.ts';

/**
 * From one placement to the next without a pause: `wanted` is published beside the one in force → every host that it gives
 * replicas loads what it lacks, and acknowledges → when all have, `wanted` comes in force at once for all → attention hosts
 * change over between two steps → what the old one alone needed is dropped.
 *
 * Versions are given once: one that never came in force is not used again. So two hosts that name the same version mean the
 * same table.
 */

/** A placement on its way. */
export interface WantedPlacement {
  readonly placement: Placement;
  /** Version in force that it is to follow. */
  readonly from: number;
  /** Hosts that have to acknowledge. */
  readonly hosts: readonly string[];
  /** Unix time in milliseconds at which it was published. */
  readonly publishedAtMs: number;
}

/** A placement that its hosts have not loaded for this long is given up. */
export const WANTED_LIMIT_MS = 120_000;
/** Versions that an expert host serves at once: the one in use, the one in force, and the one that is to follow. */
export const MOST_SERVED_VERSIONS = 3;

/** True where `placement` gives an instance no replica in any layer: it has died, or is to leave. */
export function isEmptied(placement: Placement, instance: number): boolean {
  return placement.layers.every(({ slots }) => slots[instance]!.length === 0);
}

/** Hosts that `placement` gives any replica, in host order: all that have to acknowledge it, and to be there for it. */
export function servingHosts(placement: Placement): string[] {
  const hosts = new Set(
    placement.instances.filter(({ id }) => !isEmptied(placement, id)).map(({ host }) => host),
  );
  return placementHosts(placement).filter((host) => hosts.has(host));
}

/** Whether a wanted placement may come in force; `placement-store.ts` asks the same inside of its script. */
export function mayFlip(
  wanted: Pick<WantedPlacement, 'from' | 'hosts'>,
  inForce: number,
  acknowledged: ReadonlySet<string>,
): boolean {
  return wanted.from === inForce && wanted.hosts.every((host) => acknowledged.has(host));
}

/** Why a wanted placement is to be given up; null while it may still come in force. */
export function reasonToAbandon(
  wanted: WantedPlacement,
  inForce: number,
  living: ReadonlySet<string>,
  nowMs: number,
): string | null {
  const { version } = wanted.placement;
  if (wanted.from !== inForce) return `version ${inForce} came in force since version ${version} was made`;
  const dead = wanted.hosts.filter((host) => !living.has(host));
  if (dead.length > 0) return `host ${dead.join(', ')} of version ${version} has died`;
  const waitedMs = nowMs - wanted.publishedAtMs;
  if (waitedMs <= WANTED_LIMIT_MS) return null;
  return `version ${version} was not loaded within ${WANTED_LIMIT_MS / 1_000} s`;
}

/** The oldest version that layer steps may still be sent under: the one in force, or an older one of a living attention host. */
export function oldestInUse(inForce: number, members: readonly HostRecord[]): number {
  const used = members
    .filter((member) => member.role !== 'experts')
    .map((member) => member.placement?.version ?? inForce);
  return Math.min(inForce, ...used);
}

/**
 * Which of the versions that an expert host serves it goes on to serve. The newest ones come first where there are too many.
 *
 * @param next version that is to follow the one in force; null where there is none
 */
export function versionsToServe(
  served: readonly number[],
  inForce: number,
  next: number | null,
  oldest: number,
): number[] {
  return served
    .filter((version) => (version >= oldest && version <= inForce) || version === next)
    .sort((a, b) => b - a)
    .slice(0, MOST_SERVED_VERSIONS);
}

/** True where the instances of `host` have the same numbers in both: then it changes over without starting anew. */
export function hasSameSeat(host: string, one: Placement, other: Placement): boolean {
  const ids = (placement: Placement) =>
    placement.instances.filter((instance) => instance.host === host).map(({ id }) => id);
  return ids(one).join() === ids(other).join() && one.layers.length === other.layers.length;
}
