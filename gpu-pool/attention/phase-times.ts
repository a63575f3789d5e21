/** Parts of one step of an attention instance, in the order in which they come. */
export const PHASES = ['embed', 'pre', 'attend', 'post', 'exchange', 'head', 'sample'] as const;
export type Phase = (typeof PHASES)[number];

/** Where the time of an attention instance's steps goes. Reading the clock takes some 40 ns, four times per layer. */
export class PhaseTimes {
  /** Milliseconds of each phase since the start. */
  readonly totalsMs = new Float64Array(PHASES.length);
  #steps = 0;
  #atMs = 0;

  get steps(): number {
    return this.#steps;
  }

  /** A step begins. */
  begin(): void {
    this.#steps++;
    this.#atMs = performance.now();
  }

  /** What was done since the last call, or since the beginning, was `phase`. */
  end(phase: Phase): void {
    const nowMs = performance.now();
    this.totalsMs[PHASES.indexOf(phase)]! += nowMs - this.#atMs;
    this.#atMs = nowMs;
  }
}
