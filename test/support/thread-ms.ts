const US_PER_MS = 1_000;

/** Runs something, and tells the milliseconds of this thread's processor that it took: those of neighbours do not count. */
export function onThread<Value>(run: () => Value): { readonly value: Value; readonly ms: number } {
  const before = process.threadCpuUsage();
  const value = run();
  const { user, system } = process.threadCpuUsage(before);
  return { value, ms: (user + system) / US_PER_MS };
}

/** The slowest of some steps, each of which counts with the fastest of several runs. @param runs times of the same steps */
export function slowestStepMs(runs: readonly (readonly number[])[]): number {
  const [first = []] = runs;
  const fastest = first.map((_, step) => Math.min(...runs.map((times) => times[step] ?? 0)));
  return Math.max(0, ...fastest);
}
