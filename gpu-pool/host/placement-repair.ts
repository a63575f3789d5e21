import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { HostRecord } from '../../shared/protocol/member.ts';
import { emergencyPlacement, reducedPlacement } from '../../shared/replacement/loss.ts';
import { needsRestoration, type Offer, restoredPlacement } from '../../shared/replacement/restoration.ts';
import {
  isEmptied,
  oldestInUse,
  reasonToAbandon,
  type WantedPlacement,
} from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { readMembers } from './membership.ts';
import {
  abandonPlacement,
  publishPlacement,
  readPlacement,
  takeVersion,
  wantPlacement,
} from './placement-store.ts';

/**
 * Puts a placement in force at once that does without the instances in `lost`. Several hosts may do so: all end with the same.
 *
 * @returns the placement in force then; null where those that are left have no room for all experts
 */
export async function replaceLost(
  redis: Redis,
  inForce: Placement,
  lost: readonly number[],
  members: readonly HostRecord[],
): Promise<Placement | null> {
  const next = await planWithoutLost(redis, inForce, lost, members);
  return next && publishPlacement(redis, next, inForce.version);
}

/** The same without putting it in force. */
export async function planWithoutLost(
  redis: Redis,
  placement: Placement,
  lost: readonly number[],
  members: readonly HostRecord[],
): Promise<Placement | null> {
  const { model, version } = placement;
  const next =
    reducedPlacement(placement, lost, version) ??
    emergencyPlacement(placement, lost, version, (instance) => roomOf(placement, instance, members));
  return next && { ...next, version: await takeVersion(redis, model) };
}

/**
 * Puts a placement in force again that Redis has forgotten, under a new version, so that no host goes back to an older one.
 * Several hosts may do so: all end with the same.
 *
 * @param held what Redis holds instead; null where it holds none
 * @returns the placement in force then
 */
export async function reinstate(
  redis: Redis,
  forgotten: Placement,
  held: Placement | null,
): Promise<Placement> {
  const version = await takeVersion(redis, forgotten.model, forgotten.version);
  return publishPlacement(redis, { ...forgotten, version }, held?.version ?? 0);
}

/** Longest wait for attention hosts to do without a host that leaves. */
const WITHDRAWAL_LIMIT_MS = 2_000;
const WITHDRAWAL_POLL_MS = 20;

/**
 * Takes a host that is about to leave out of the placement in force, where others hold all of its experts, and waits until no
 * attention host sends it layer steps any more; for a bounded time, also where Redis is away.
 */
export async function withdraw(redis: Redis, model: string, host: string): Promise<void> {
  const limit = new AbortController();
  const withdrawn = async (): Promise<void> => {
    const inForce = await readPlacement(redis, model);
    const own = (inForce?.instances ?? []).filter((instance) => instance.host === host).map(({ id }) => id);
    const members = await readMembers(redis, model);
    const isUsed =
      members.some(({ role }) => role === 'attention') && own.some((id) => !isEmptied(inForce!, id));
    const next = isUsed ? reducedPlacement(inForce!, own, inForce!.version) : null;
    if (next === null) return;
    const version = await takeVersion(redis, model);
    const published = await publishPlacement(redis, { ...next, version }, inForce!.version);
    while (!limit.signal.aborted) {
      if (oldestInUse(published.version, await readMembers(redis, model)) === published.version) return;
      await sleep(WITHDRAWAL_POLL_MS);
    }
  };
  const late = sleep(WITHDRAWAL_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => {});
  await Promise.race([withdrawn().catch(() => {}), late]);
  limit.abort();
}

/** Replicas per layer that an instance can hold at most. */
function roomOf({ instances }: Placement, instance: number, members: readonly HostRecord[]): number {
  const record = members.find((member) => member.host === instances[instance]!.host);
  const slots = record?.experts.find(({ id }) => id === instance)?.slots ?? 0;
  return slots + (record?.placement?.spareSlots ?? 0);
}

/** Gives a wanted placement up that cannot come in force any more; returns why, or null. */
export async function abandonHopeless(
  redis: Redis,
  wanted: WantedPlacement,
  inForce: Placement,
  members: readonly HostRecord[],
): Promise<string | null> {
  const living = new Set(members.map(({ host }) => host));
  const [seconds, microseconds] = await redis.time();
  const nowMs = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
  const reason = reasonToAbandon(wanted, inForce.version, living, nowMs);
  if (reason === null) return null;
  const { model, version } = wanted.placement;
  return (await abandonPlacement(redis, model, version)) ? reason : null;
}

/** Expert instances that living hosts offer. */
export function offersOf(members: readonly HostRecord[]): Offer[] {
  return members
    .filter(({ role }) => role === 'experts')
    .map(({ host, experts }) => ({
      host,
      instances: experts.length,
      ended: experts.filter(({ state }) => state === 'gone').map(({ id }) => id),
    }));
}

/**
 * Publishes as wanted a placement that uses every living instance again, where one holds nothing or too much.
 *
 * @returns its version; null where there is nothing to be done, or somebody else does something
 */
export async function restoreReplicas(
  redis: Redis,
  inForce: Placement,
  members: readonly HostRecord[],
): Promise<number | null> {
  const offers = offersOf(members);
  const hosts = members.filter(({ role }) => role === 'experts');
  const slots = hosts.flatMap(({ experts }) => experts.map((expert) => expert.slots));
  const capacity = Math.min(inForce.capacity, ...slots.filter((count) => count > 0));
  if (!needsRestoration(inForce, offers, capacity)) return null;
  const version = await takeVersion(redis, inForce.model);
  const next = restoredPlacement(inForce, offers, capacity, version);
  return next !== null && (await wantPlacement(redis, next, inForce.version)) ? version : null;
}
