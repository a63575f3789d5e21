import { placementKey, wantedPlacementKey } from '../../shared/protocol/keys.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Cluster } from './actors/cluster.ts';
import type { Bed } from './bed.ts';
import type { Rule } from './checks.ts';
import { MODEL } from './simulated-model.ts';

/** Keys of the pools, of the scaler, and of the queue. */
const FIXED_KEYS = 24;
const MOST_IN_FLIGHT = 200;

/** What is not in order. */
export interface Disorder {
  readonly rule: Rule;
  readonly detail: string;
}

/** What is not, or not yet, in order, when nothing goes wrong any more. */
export function findDisorder(bed: Bed, cluster: Cluster): Disorder | null {
  for (const [id, { end, tokens }] of bed.checks.requests) {
    if (end !== null) continue;
    const rule = 'every request ends in time, answered or with a declared reason';
    return { rule, detail: `${id} has not, at ${tokens} tokens` };
  }
  const { server, world } = bed;
  const stored = server.store.read('string', placementKey(MODEL), world.nowMs);
  if (stored === undefined) {
    return {
      rule: 'every expert has a living replica, or is being repaired',
      detail: 'no placement is in force',
    };
  }
  const inForce = JSON.parse(stored.text) as Placement;
  return findMissing(inForce, cluster) ?? findUnfinished(bed, inForce, cluster);
}

/** What must not grow, looked at when a run is over. */
export function checkBounds({ checks, network, server }: Bed, cluster: Cluster): void {
  // Of every request its token stream, of every host its record.
  const keys = FIXED_KEYS + cluster.started + checks.requests.size;
  checks.bounded('keys in Redis', server.store.size, keys);
  checks.bounded('messages in flight', network.mostInFlight, MOST_IN_FLIGHT);
}

/** A replica in force that no living host holds. */
function findMissing(inForce: Placement, cluster: Cluster): Disorder | null {
  const living = cluster.experts.filter(({ process }) => process.isAlive);
  const held = new Map(living.map(({ process, pool }) => [process.name, pool?.held]));
  for (const [layer, { slots }] of inForce.layers.entries()) {
    for (const { id, host } of inForce.instances) {
      const missing = slots[id]!.find((expert) => !held.get(host)?.has({ layer, instance: id, expert }));
      if (missing === undefined) continue;
      const detail = `${host} does not hold expert ${missing} of layer ${layer} under version ${inForce.version}`;
      return { rule: 'every expert has a living replica, or is being repaired', detail };
    }
  }
  return null;
}

/** A change of placements that has not come to its end. */
function findUnfinished({ server, world }: Bed, inForce: Placement, cluster: Cluster): Disorder | null {
  const rule = 'a placement that is wanted comes in force or is given up';
  const wanted = server.store.read('hash', wantedPlacementKey(MODEL), world.nowMs);
  if (wanted !== undefined) {
    const sinceMs = Math.round(world.nowMs - Number(wanted.get('at')));
    return { rule, detail: `version ${wanted.get('version')} is wanted since ${sinceMs} ms` };
  }
  const behind = cluster.attention.find(
    ({ placementVersion }) => placementVersion !== undefined && placementVersion !== inForce.version,
  );
  if (behind === undefined) return null;
  const { process, placementVersion } = behind;
  return {
    rule,
    detail: `${process.name} is under version ${placementVersion}, not under ${inForce.version}`,
  };
}
