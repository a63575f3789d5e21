import { checkSlots, type Layout } from './layout.ts';

/**
 * A layout turned round for the hot path, in typed arrays, all sorting done: from expert to hosting instances and back.
 * Replicas are numbered by (expert, instance) ascending, so a replica number is a position in `hostInstances`.
 */
export interface LayoutIndex {
  /** E, logical experts. */
  readonly experts: number;
  /** n_e, expert instances. */
  readonly instances: number;
  /** [E + 1]: the hosts of expert e are `hostInstances[hostOffsets[e] … hostOffsets[e + 1])`. */
  readonly hostOffsets: Int32Array;
  /** [replicas in all]: instance ids, ascending within one expert. */
  readonly hostInstances: Int32Array;
  /** [replicas in all]: the expert of each replica. */
  readonly replicaExpert: Int32Array;
  /** [n_e + 1]: the replicas on instance g are `heldReplicas[heldOffsets[g] … heldOffsets[g + 1])`. */
  readonly heldOffsets: Int32Array;
  /** [replicas in all]: replica numbers, ascending within one instance, and so ascending by expert. */
  readonly heldReplicas: Int32Array;
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
  const { instances, slots } = layout;
  const hostOffsets = offsetsOf(replicas);
  const heldOffsets = offsetsOf(slots.map((held) => held.length));
  const hostInstances = new Int32Array(hostOffsets[experts]);
  const replicaExpert = new Int32Array(hostOffsets[experts]);
  const heldReplicas = new Int32Array(hostOffsets[experts]);
  const next = hostOffsets.slice(0, experts);
  for (const [instance, held] of slots.entries()) {
    for (const [slot, expert] of held.entries()) {
      const replica = next[expert];
      hostInstances[replica] = instance;
      replicaExpert[replica] = expert;
      heldReplicas[heldOffsets[instance] + slot] = replica;
      next[expert] += 1;
    }
  }
  const order = Int32Array.from(replicas.keys()).sort((a, b) => replicas[a] - replicas[b] || a - b);
  return {
    experts,
    instances,
    hostOffsets,
    hostInstances,
    replicaExpert,
    heldOffsets,
    heldReplicas,
    replicas,
    order,
  };
}

/** Where each of a row of lists begins when they stand one behind the other; the last entry is their total length. */
function offsetsOf(lengths: ArrayLike<number>): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  for (let i = 0; i < lengths.length; i += 1) offsets[i + 1] = offsets[i] + lengths[i];
  return offsets;
}
