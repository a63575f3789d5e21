import type { PoolSizes } from '../../shared/scaling/solver.ts';

/** What came of an attempt to give a model its wanted sizes. */
export type ActuatorOutcome =
  /** It had them. */
  | { readonly kind: 'unchanged'; readonly sizes: PoolSizes }
  /** From now on instances start and end until it has `sizes`, the wanted ones within the bounds of the actuator. */
  | { readonly kind: 'applied'; readonly from: PoolSizes; readonly sizes: PoolSizes }
  /** Somebody has to do what `reason` says before another attempt makes sense. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The next attempt may succeed. */
  | { readonly kind: 'failed'; readonly reason: string };

/** Starts and ends instances, so that a model gets the sizes that its scaler wants. Doing the same twice is harmless. */
export interface Actuator {
  /** As logs name it. */
  readonly name: string;
  /**
   * Sizes that it was last told to give the model, whether or not all of them serve already; null where it knows of no such model.
   *
   * @throws JanusError where it cannot find out
   */
  read(model: string): Promise<PoolSizes | null>;
  apply(model: string, sizes: PoolSizes): Promise<ActuatorOutcome>;
}
