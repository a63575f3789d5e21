/** Where the functions get the time from. */
export interface Clock {
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
}

export const systemClock: Clock = { nowMs: () => Date.now() };
