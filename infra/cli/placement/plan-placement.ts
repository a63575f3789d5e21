import { JanusError } from '../../../shared/errors/janus-error.ts';
import { rePlace } from '../../../shared/placement/incremental.ts';
import { alignLayout, type ReplicaMove, replicaMoves } from '../../../shared/placement/placement-moves.ts';
import { coveredDomains, coveredExperts, failureDomains } from '../../../shared/placement/spare-slots.ts';
import type { ActivationTrace } from '../../../shared/placement/trace.ts';
import { placeByTrace } from '../../../shared/placement/traced-placement.ts';
import { atInstances, onlyInstances } from '../../../shared/replacement/numbering.ts';
import type { Placement, SpareSlots } from '../../../shared/scheduler/layout.ts';
import { BATCH_SIZES, meanAMax } from './placement-view.ts';

export interface PlanOptions {
  /** Size of one expert's weights in one layer, in bytes. */
  readonly expertBytes: number;
  /** C of the new placement; undefined keeps that in force. */
  readonly capacity: number | undefined;
  /** Bound on what the instances load; undefined makes the placement afresh. */
  readonly maxMoveBytes: number | undefined;
  /** Undefined keeps to that in force. */
  readonly spareSlots?: SpareSlots | undefined;
  readonly seed: number;
  /** Numbers of the instances that live; the others get nothing. Default: all. */
  readonly living?: readonly number[];
}

/** A new placement beside the one in force. JSON-serialisable. */
export interface PlacementPlan {
  readonly model: string;
  /** Version in force that the plan starts from. */
  readonly from: number;
  /** The planned placement; that in force where nothing is worth a move. */
  readonly placement: Placement;
  readonly moves: readonly ReplicaMove[];
  readonly movedBytes: number;
  /** Expected a_max, by batch size. */
  readonly aMax: readonly { readonly tokens: number; readonly before: number; readonly after: number }[];
  /** Experts, of all layers together, that survive the death of any one host. */
  readonly covered: { readonly before: number; readonly after: number; readonly of: number };
}

/**
 * Plans the placement for the traffic in `trace` on the instances of the placement in force.
 *
 * @throws JanusError when the trace is of another model, the capacity does not hold all experts, or a bounded plan would
 *   have to give up slots
 */
export function planPlacement(
  inForce: Placement,
  trace: ActivationTrace,
  options: PlanOptions,
): PlacementPlan {
  const { layers, experts } = trace.shape;
  if (layers !== inForce.layers.length || experts !== inForce.experts) {
    throw new JanusError(
      `The activation trace is of ${layers} layers with ${experts} experts, the placement of ${inForce.layers.length} with ` +
        `${inForce.experts}: another model was served as ${inForce.model}. Wait until its trace is forgotten.`,
    );
  }
  const living = options.living ?? inForce.instances.map(({ id }) => id);
  const from = onlyInstances(inForce, living);
  const planned =
    options.maxMoveBytes === undefined
      ? placeAfresh(from, trace, options)
      : placeWithin(options.maxMoveBytes, from, trace, options);
  const placement = planned === from ? inForce : atInstances(planned, living, inForce.instances);
  const moves = replicaMoves(inForce, placement);
  return {
    model: inForce.model,
    from: inForce.version,
    placement,
    moves,
    movedBytes: moves.length * options.expertBytes,
    aMax: BATCH_SIZES.map((tokens) => ({
      tokens,
      before: meanAMax(inForce.layers, trace, tokens),
      after: meanAMax(placement.layers, trace, tokens),
    })),
    covered: { before: coveredIn(inForce), after: coveredIn(placement), of: layers * experts },
  };
}

function coveredIn({ layers, experts, instances }: Placement): number {
  const domains = failureDomains(instances);
  return layers.reduce((sum, layout) => sum + coveredExperts(layout, experts, domains), 0);
}

function placeAfresh(inForce: Placement, trace: ActivationTrace, options: PlanOptions): Placement {
  const { version, model, instances, capacity } = inForce;
  const spareSlots = options.spareSlots ?? inForce.spareSlots;
  const placement = placeByTrace({
    version: version + 1,
    model,
    instances,
    trace,
    capacity: options.capacity ?? capacity,
    seed: options.seed,
    ...(spareSlots && { spareSlots }),
  });
  const domains = coveredDomains(placement);
  const layers = placement.layers.map((layout, layer) =>
    alignLayout(layout, inForce.layers[layer]!, domains),
  );
  // What else the placement in force says, such as how its steps are scheduled, goes on to hold.
  return { ...inForce, ...placement, layers };
}

function placeWithin(
  maxMoveBytes: number,
  inForce: Placement,
  trace: ActivationTrace,
  options: PlanOptions,
): Placement {
  const { expertBytes, seed, capacity = inForce.capacity } = options;
  const { spareSlots: present = 'load' } = inForce;
  if ((options.spareSlots ?? present) !== present) {
    throw new JanusError(
      `--spare-slots is ${options.spareSlots}, those of the placement in force are for ${present}: leave out ` +
        '--max-move-bytes, so that the placement is made afresh.',
    );
  }
  if (capacity < inForce.capacity) {
    throw new JanusError(
      `--capacity is ${capacity}, fewer than the ${inForce.capacity} slots in force: leave out --max-move-bytes, so that ` +
        'the placement is made afresh.',
    );
  }
  if (capacity === inForce.capacity) {
    return rePlace({ placement: inForce, trace, expertBytes, maxMoveBytes, seed }).placement;
  }
  const layers = inForce.layers.map((layout) => ({ ...layout, capacity }));
  const { placement } = rePlace({
    placement: { ...inForce, capacity, layers },
    trace,
    expertBytes,
    maxMoveBytes,
    seed,
  });
  return placement.version === inForce.version ? inForce : placement;
}
