/** Share of a model's KV slots that lines of batches may take: who asks for an answer finds one that is free. */
const SHARE = 0.75;

interface Waiting {
  readonly slots: number;
  readonly enter: () => void;
}

/** Places of lines at the pools of one model, for all batches of this process. */
export interface LinePlaces {
  /**
   * Waits until a line may go to the pools.
   *
   * @param slots KV slots that the model has now
   * @returns frees the place
   * @throws the signal's reason when it aborts
   */
  readonly take: (model: string, slots: number, signal: AbortSignal) => Promise<() => void>;
}

export function createLinePlaces(): LinePlaces {
  const taken = new Map<string, number>();
  const waiting = new Map<string, Waiting[]>();
  const takenOf = (model: string): number => taken.get(model) ?? 0;
  const mayEnter = (model: string, slots: number): boolean =>
    takenOf(model) < Math.max(1, Math.floor(SHARE * slots));

  const enter = (model: string): (() => void) => {
    taken.set(model, takenOf(model) + 1);
    return () => {
      taken.set(model, takenOf(model) - 1);
      const [next] = waiting.get(model) ?? [];
      if (next !== undefined && mayEnter(model, next.slots)) next.enter();
    };
  };

  return {
    take(model, slots, signal) {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (mayEnter(model, slots)) return Promise.resolve(enter(model));
      return new Promise((resolve, reject) => {
        const line = waiting.get(model) ?? [];
        waiting.set(model, line);
        const leave = (): void => {
          line.splice(line.indexOf(one), 1);
          signal.removeEventListener('abort', onAbort);
        };
        const onAbort = (): void => {
          leave();
          reject(signal.reason);
        };
        const one: Waiting = {
          slots,
          enter: () => {
            leave();
            resolve(enter(model));
          },
        };
        line.push(one);
        signal.addEventListener('abort', onAbort, { once: true });
      });
    },
  };
}
