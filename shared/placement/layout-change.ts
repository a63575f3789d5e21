/** Stands for an empty slot, or for no second instance. */
export const NONE = -1;

/**
 * A small change of a layout: on `instance`, `out` makes way for `in` (either may be `NONE`: an empty slot). Where there is an
 * `other` instance, it does the opposite, so that the two exchange replicas; else the experts' replica counts change.
 */
export interface Change {
  readonly instance: number;
  readonly out: number;
  readonly in: number;
  readonly other: number;
}

/** The change that takes another one back. */
export function inverse({ instance, out, in: entering, other }: Change): Change {
  return { instance, out: entering, in: out, other };
}
