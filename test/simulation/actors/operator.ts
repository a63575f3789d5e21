import { readPlacement, takeVersion, wantPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { rePlace } from '../../../shared/placement/incremental.ts';
import { ActivationTrace } from '../../../shared/placement/trace.ts';
import { isEmptied } from '../../../shared/replacement/transition.ts';
import type { Layout, Placement } from '../../../shared/scheduler/layout.ts';
import type { Bed } from '../bed.ts';
import { EXPERTS, LAYERS, MODEL, mix, routeRow, TOP_K } from '../simulated-model.ts';
import type { World } from '../world.ts';

const TRACE_ROWS = 32;
const EXPERT_BYTES = 1;
const MOST_MOVES = 3;

/** Publishes another placement as wanted, as `janus placement apply` does: replicas move while the pools serve. */
export function publishAnother(bed: Bed, byTrace: boolean): void {
  bed.start('operator', 0, async (process) => {
    const { redis } = bed.connect(process, 'host');
    const inForce = await readPlacement(redis, MODEL);
    if (inForce === null) return;
    const next = byTrace ? improved(inForce, bed.world) : shuffled(inForce, bed.world);
    const placement = { ...next, version: await takeVersion(redis, MODEL) };
    await wantPlacement(redis, placement, inForce.version);
  });
}

/** The placement that is best for some traffic. */
function improved(placement: Placement, world: World): Placement {
  const trace = new ActivationTrace({ layers: LAYERS, experts: EXPERTS, expertsPerToken: TOP_K }, TRACE_ROWS);
  const seed = world.integer(0, 1_000_000);
  for (let layer = 0; layer < LAYERS; layer += 1) {
    const expertIds = new Int32Array(TRACE_ROWS * TOP_K);
    for (let row = 0; row < TRACE_ROWS; row += 1) routeRow(mix(seed, row), layer, expertIds, row * TOP_K);
    trace.record(layer, expertIds, TRACE_ROWS);
  }
  const bound = { expertBytes: EXPERT_BYTES, maxMoveBytes: MOST_MOVES, seed };
  return rePlace({ placement, trace, ...bound }).placement;
}

/** A placement in which instances have exchanged all that they hold. */
function shuffled(placement: Placement, world: World): Placement {
  const used = placement.instances.map(({ id }) => id).filter((id) => !isEmptied(placement, id));
  const first = world.pick(used);
  const second = world.pick(used);
  const exchange = ({ slots, ...layout }: Layout): Layout => {
    if (world.chance(0.3)) return { ...layout, slots };
    const exchanged = slots.map((held, id) =>
      id === first ? slots[second]! : id === second ? slots[first]! : held,
    );
    return { ...layout, slots: exchanged };
  };
  return { ...placement, layers: placement.layers.map(exchange) };
}
