import { checkSlots, type Layout } from './layout.ts';

/** A layout turned round for the hot path: from expert to hosting instances, in typed arrays, all sorting done. */
export interface LayoutIndex {
  /** E, logical experts. */
  readonly experts: number;
  /** n_e, expert instances. */
  readonly instances: number;
  /** [E + 1]: the hosts of expert e are `hostInstances[hostOffsets[e] … hostOffsets[e + 1])`. */
  readonly hostOffsets: Int32Array;
  /** [replicas in all]: instance ids, ascending within one expert. */
  readonly hostInstances: Int32Array;
  /** [E]: R(e), replicas of each expert. */
  readonly replicas: Int32Array;
  /** [E]: expert ids by (replica count ascending, id ascending), the order in which AEBS assigns them. */
  readonly order: Int32Array;
}

/**
 * Builds the index of a layout. An expert may be without a replica, as it happens while an instance is lost: the index
 * of what survives is that of the layout with the lost instance's slots empty.
 *
 * @param experts E, logical experts of the layer.
 * @throws JanusError for an unknown expert id, two replicas of one expert on one instance or an instance over capacity.
 */
export function indexLayout(layout: Layout, experts: number): LayoutIndex {
  const replicas = checkSlots(layout, experts);
  const hostOffsets = new Int32Array(experts + 1);
  for (let expert = 0; expert < experts; expert += 1) {
    hostOffsets[expert + 1] = hostOffsets[expert] + replicas[expert];
  }
  const hostInstances = new Int32Array(hostOffsets[experts]);
  const next = hostOffsets.slice(0, experts);
  for (const [instance, held] of layout.slots.entries()) {
    for (const expert of held) {
      hostInstances[next[expert]] = instance;
      next[expert] += 1;
    }
  }
  const order = Int32Array.from(replicas.keys()).sort((a, b) => replicas[a] - replicas[b] || a - b);
  return { experts, instances: layout.instances, hostOffsets, hostInstances, replicas, order };
}
