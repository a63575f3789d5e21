/** Parts of one step of an attention instance, in the order in which they come. */
export const PHASES = [
  /** Since the step before: commands are taken, sequences admitted, the host's other instances waited for, and rows given out. */
  'plan',
  'embed',
  'pre',
  'attend',
  'post',
  'exchange',
  'head',
  'sample',
  /** The step's events are handed to the host's thread. */
  'publish',
] as const;
export type Phase = (typeof PHASES)[number];

/**
 * Where the time of an attention instance goes while it has work. Reading the clock takes some 40 ns, four times per layer.
 */
export class PhaseTimes {
  /** Milliseconds of each phase since the start. */
  readonly totalsMs = new Float64Array(PHASES.length);
  #steps = 0;
  #atMs = performance.now();

  get steps(): number {
    return this.#steps;
  }

  /** There is work again: what was before belongs to no phase. */
  resume(): void {
    this.#atMs = performance.now();
  }

  /** A step begins. */
  begin(): void {
    this.end('plan');
    this.#steps++;
  }

  /** What was done since the last call was `phase`. */
  end(phase: Phase): void {
    const nowMs = performance.now();
    this.totalsMs[PHASES.indexOf(phase)]! += nowMs - this.#atMs;
    this.#atMs = nowMs;
  }
}
