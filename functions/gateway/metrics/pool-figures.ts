import { WANTED_LIMIT_MS } from '../../../shared/replacement/transition.ts';
import type { PoolStatus } from '../../dispatcher/pool-reader.ts';

const MS_PER_S = 1_000;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Sequences that hold a KV slot. */
export const runningSequences = ({ hosts }: PoolStatus): number =>
  sum(hosts.flatMap((host) => host.attention.map((instance) => instance.slotsInUse)));

/** Sequences that hold none yet, in the queue or at an instance. */
export const waitingSequences = ({ hosts, queued }: PoolStatus): number =>
  queued + sum(hosts.flatMap((host) => host.attention.map((instance) => instance.waiting)));

/** Part of all KV slots that is in use; null without any. */
export function slotUsage(pool: PoolStatus): number | null {
  const slots = sum(pool.hosts.flatMap((host) => host.attention.map((instance) => instance.slots)));
  return slots === 0 ? null : runningSequences(pool) / slots;
}

/** Mean a_max over the layer steps of all hosts since their starts; null without any. */
export function meanAMax({ hosts }: PoolStatus): number | null {
  const records = hosts.flatMap(({ exchange }) => (exchange === null ? [] : [exchange]));
  const layerSteps = sum(records.map((record) => record.layerSteps));
  if (layerSteps === 0) return null;
  return sum(records.map((record) => record.meanAMax * record.layerSteps)) / layerSteps;
}

/**
 * Mean number of activated experts of an expert instance in a layer step, over a_max: 1 where all instances always have as
 * many as the one that is waited for. Instances count the steps that they took part in; the one that took part in most stands
 * for all steps. Null where nothing was counted.
 */
export function balancedness(pool: PoolStatus): number | null {
  const aMax = meanAMax(pool);
  const experts = pool.hosts.flatMap((host) => host.experts);
  const steps = Math.max(0, ...experts.map((instance) => instance.layerSteps));
  if (aMax === null || aMax === 0 || steps === 0) return null;
  const activated = sum(experts.map((instance) => instance.meanActivated * instance.layerSteps));
  // The hosts' records are not of one moment.
  return Math.min(1, activated / steps / experts.length / aMax);
}

/** Seconds for which hosts have been loading the placement that is to follow; 0 where none is, null where there is no placement. */
export function rePlacementAge({ placement }: PoolStatus, nowMs: number): number | null {
  if (placement === null) return null;
  return Math.max(0, nowMs - (placement.wantedAtMs ?? nowMs)) / MS_PER_S;
}

/**
 * The alarm of re-placement: 1 where hosts have been loading the next placement for longer than they may, or the last one that was
 * wanted was given up and none has come in force since; else 0. Null where there is no placement.
 */
export function rePlacementStalled(pool: PoolStatus, nowMs: number): number | null {
  const { placement } = pool;
  if (placement === null) return null;
  const isGivenUp = (placement.givenUpVersion ?? 0) > placement.version;
  return isGivenUp || rePlacementAge(pool, nowMs)! > WANTED_LIMIT_MS / MS_PER_S ? 1 : 0;
}

/** Seconds since the placement in force came in force, the last success of a re-placement; null where that is not known. */
export function placementAge({ placement }: PoolStatus, nowMs: number): number | null {
  const publishedAtMs = placement?.publishedAtMs ?? null;
  return publishedAtMs === null ? null : Math.max(0, nowMs - publishedAtMs) / MS_PER_S;
}
