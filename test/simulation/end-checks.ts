import { placementKey, wantedPlacementKey } from '../../shared/protocol/keys.ts';
import { isEmptied } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Cluster } from './actors/cluster.ts';
import type { Bed } from './bed.ts';
import { MODEL } from './simulated-model.ts';

/** A placement is wanted for no longer than this where nothing goes wrong. */
const TRANSITION_LIMIT_MS = 8_000;
/** Keys of the pools, of the scaler, and of the queue. */
const FIXED_KEYS = 24;
/** Of every request: its token stream. */
const KEYS_PER_REQUEST = 1;
const MOST_IN_FLIGHT = 200;

/** What must be so when everything has been in order for a while. */
export function checkEnd(bed: Bed, cluster: Cluster): void {
  const { checks, network, server } = bed;
  for (const [id, { end, tokens }] of checks.requests) {
    if (end !== null) continue;
    checks.fail(
      'every request ends in time, answered or with a declared reason',
      `${id} has not, at ${tokens} tokens`,
    );
  }
  const keys = FIXED_KEYS + cluster.started + KEYS_PER_REQUEST * checks.requests.size;
  checks.bounded('keys in Redis', server.store.size, keys);
  checks.bounded('messages in flight', network.mostInFlight, MOST_IN_FLIGHT);
  checkPlacements(bed, cluster);
}

function checkPlacements({ server, world, checks }: Bed, cluster: Cluster): void {
  const stored = server.store.read('string', placementKey(MODEL), world.nowMs);
  if (stored === undefined) {
    return checks.fail('every expert has a living replica, or is being repaired', 'no placement is in force');
  }
  const inForce = JSON.parse(stored.text) as Placement;
  checkReplicas(inForce, cluster, (detail) =>
    checks.fail('every expert has a living replica, or is being repaired', detail),
  );
  const rule = 'a placement that is wanted comes in force or is given up';
  const wanted = server.store.read('hash', wantedPlacementKey(MODEL), world.nowMs);
  const ageMs = wanted === undefined ? 0 : world.nowMs - Number(wanted.get('at'));
  if (ageMs > TRANSITION_LIMIT_MS)
    checks.fail(rule, `version ${wanted!.get('version')} is wanted since ${ageMs} ms`);
  for (const { process, placementVersion } of cluster.attention) {
    if (placementVersion === undefined || placementVersion === inForce.version) continue;
    const isNew = world.nowMs - checks.inForceSinceMs < TRANSITION_LIMIT_MS;
    if (!isNew)
      checks.fail(rule, `${process.name} is under ${placementVersion}, not under ${inForce.version}`);
  }
}

function checkReplicas(inForce: Placement, cluster: Cluster, fail: (detail: string) => void): void {
  const held = new Map(
    cluster.experts.map((host) => [host.process.name, host.process.isAlive ? host.pool?.held : undefined]),
  );
  for (const [layer, { slots }] of inForce.layers.entries()) {
    for (const { id, host } of inForce.instances) {
      if (isEmptied(inForce, id)) continue;
      for (const expert of slots[id]!) {
        if (held.get(host)?.has({ layer, instance: id, expert })) continue;
        fail(`${host} does not hold expert ${expert} of layer ${layer} under version ${inForce.version}`);
      }
    }
  }
}
