import { hasSameSeat } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Host } from './host.ts';
import { readMembers } from './membership.ts';
import { PlacementBell } from './placement-bell.ts';
import { withdraw } from './placement-repair.ts';
import { acknowledgePlacement, flipPlacement, PlacementReader, readWanted } from './placement-store.ts';
import { type Serving, servePlacement } from './serve-placement.ts';

/**
 * Starts the expert instances of a host that serves attention hosts elsewhere. What they hold is decided by the placement
 * in force; the host follows it from version to version while it serves, and offers its instances while none includes it.
 */
export async function startExperts(host: Host): Promise<void> {
  let closed = false;
  let serving: Serving | undefined;
  const bell = PlacementBell.open(host.redis, host.options.model.name);
  const reader = new PlacementReader(host.redis, host.options.model.name);
  const follow = (async () => {
    while (!closed) {
      try {
        serving = await look(host, bell, reader, serving);
      } catch (error) {
        // It is tried again: what failed may pass, and a pool that waits for this host must not wait for ever.
        host.log(`expert pool: ${error instanceof Error ? error.message : String(error)}`);
      }
      await bell.wait();
    }
  })();
  host.log(`${host.options.expertInstances} expert instances wait for a placement`);
  host.onClose(async () => {
    if (serving !== undefined) await withdraw(host.redis, host.options.model.name, host.id);
    closed = true;
    bell.close();
    await follow;
    await serving?.stop();
  });
}

/** Follows what Redis says once. Where the instances get other numbers, they start anew. */
async function look(
  host: Host,
  bell: PlacementBell,
  reader: PlacementReader,
  before: Serving | undefined,
): Promise<Serving | undefined> {
  const { redis, options } = host;
  const model = options.model.name;
  const [inForce, wanted] = await Promise.all([reader.read(), readWanted(redis, model)]);
  const names = (placement: Placement | undefined | null) =>
    placement?.instances.some((instance) => instance.host === host.id) === true;
  const placement = [inForce, wanted?.placement].find(names);
  let serving = before;
  if (placement && (serving === undefined || !hasSameSeat(host.id, serving.first, placement))) {
    await serving?.stop();
    // What fails below leaves none, and the next look starts from there.
    serving = undefined;
    serving = await servePlacement(host, bell, placement);
  }
  if (serving === undefined) return undefined;
  await serving.placements.follow({ inForce, wanted, members: () => readMembers(redis, model) });
  const version = inForce?.version ?? null;
  host.placement = () => serving!.placements.record(version);
  const next = wanted?.placement.version;
  if (next !== undefined && serving.placements.serves(next)) {
    await acknowledgePlacement(redis, model, host.id, next);
    await flipPlacement(redis, model, next);
  }
  return serving;
}
