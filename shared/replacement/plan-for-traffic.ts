import { rePlace } from '../placement/incremental.ts';
import type { ActivationTrace } from '../placement/trace.ts';
import type { Placement } from '../scheduler/layout.ts';
import { atInstances, onlyInstances } from './numbering.ts';
import { isEmptied } from './transition.ts';

/** A placement that is to follow the one in force. */
export interface TrafficPlan {
  /** Without a version of its own; the one in force where nothing is worth a move. */
  readonly placement: Placement;
  /** Replicas that instances have to load for it. */
  readonly moves: number;
}

/**
 * The placement that follows `inForce` for the traffic in `trace`, on the instances that it uses, where at most `mostMoves`
 * replicas may be loaded.
 *
 * @param seed the same seed gives the same plan
 * @throws JanusError when the trace is of another model
 */
export function planForTraffic(
  inForce: Placement,
  trace: ActivationTrace,
  mostMoves: number,
  seed: number,
): TrafficPlan {
  const used = inForce.instances.map(({ id }) => id).filter((id) => !isEmptied(inForce, id));
  const from = onlyInstances(inForce, used);
  // Replicas are counted, whatever their size is.
  const { placement, moves } = rePlace({
    placement: from,
    trace,
    expertBytes: 1,
    maxMoveBytes: mostMoves,
    seed,
  });
  if (moves.length === 0) return { placement: inForce, moves: 0 };
  return { placement: atInstances(placement, used, inForce.instances), moves: moves.length };
}
