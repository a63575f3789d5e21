/** A day of requests, compressed. */
export interface Day {
  readonly durationMs: number;
  /** Requests per second at the highest point. */
  readonly peakRate: number;
  /** Highest over lowest rate. */
  readonly peakOverLeast: number;
  /** Answer tokens of a request, evenly spread between these. */
  readonly answerTokens: readonly [least: number, most: number];
}

/** One request of the day. */
export interface Arrival {
  readonly atMs: number;
  readonly answerTokens: number;
  /** Of its prompt and its draws. */
  readonly seed: number;
}

/** Requests per second: least at both ends, a steep morning, the highest point in the middle. */
export function rateAt({ durationMs, peakRate, peakOverLeast }: Day, atMs: number): number {
  const least = peakRate / peakOverLeast;
  const height = (0.5 - 0.5 * Math.cos((2 * Math.PI * atMs) / durationMs)) ** 2;
  return least + (peakRate - least) * height;
}

/** The part around the highest point, as if the day consisted of it. @param share of the day */
export function peakOf({ durationMs }: Day, arrivals: readonly Arrival[], share: number): Arrival[] {
  const fromMs = (durationMs * (1 - share)) / 2;
  return arrivals
    .filter(({ atMs }) => atMs >= fromMs && atMs < durationMs - fromMs)
    .map((arrival) => ({ ...arrival, atMs: arrival.atMs - fromMs }));
}

/** Requests at random times of that rate: a Poisson process, by thinning. The same draws give the same day. */
export function arrivalsOf(day: Day, random: () => number): Arrival[] {
  const [least, most] = day.answerTokens;
  const arrivals: Arrival[] = [];
  let atMs = 0;
  for (;;) {
    atMs += (-Math.log(1 - random()) * 1_000) / day.peakRate;
    if (atMs >= day.durationMs) return arrivals;
    if (random() * day.peakRate > rateAt(day, atMs)) continue;
    const answerTokens = least + Math.floor(random() * (most - least + 1));
    arrivals.push({ atMs, answerTokens, seed: Math.floor(random() * 2 ** 32) });
  }
}
