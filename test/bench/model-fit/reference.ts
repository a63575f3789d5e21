import { setTimeout as sleep } from 'node:timers/promises';
import { SteadyLoad } from '../../../infra/profile/steady-load.ts';
import type { LoadMeasurement } from '../../../shared/scaling/fit-model.ts';
import { median } from '../results.ts';
import { startBed } from './bed.ts';

const LOAD = { sequences: 4, promptTokens: 1, answerTokens: 128 };
const SEED = 11;
const SETTLE_LIMIT_MS = 8_000;
const WARM_UP_MS = 6_000;
const WINDOW_MS = 1_500;

type Bed = Awaited<ReturnType<typeof startBed>>;

/**
 * How fast the machine is at the moment: the time per output token of one small load on a pool of its own, which is idle otherwise. A
 * machine that shares its memory and its processors' clock with others of which it knows nothing changes its speed by a quarter within
 * minutes, and what was profiled then cannot be compared with what is measured now.
 */
export class Reference {
  readonly #bed: Bed;
  readonly #firstMs: number;
  #latestMs: number;

  private constructor(bed: Bed, firstMs: number) {
    this.#bed = bed;
    this.#firstMs = firstMs;
    this.#latestMs = firstMs;
  }

  static async start(parts: AsyncDisposableStack): Promise<Reference> {
    const bed = await startBed('one host f32', { attention: 1, experts: 1 }, parts);
    await timeOf(bed, WARM_UP_MS);
    return new Reference(bed, await timeOf(bed, WINDOW_MS));
  }

  /** Does something; `slowness` is the reference's time before and after it, over that at the beginning. */
  async around<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly slowness: number }> {
    const beforeMs = this.#latestMs;
    const result = await work();
    this.#latestMs = await timeOf(this.#bed, WINDOW_MS);
    return { result, slowness: (beforeMs + this.#latestMs) / 2 / this.#firstMs };
  }
}

async function timeOf({ dispatcher, card }: Bed, windowMs: number): Promise<number> {
  const { id: model, vocabularySize } = card;
  const load = new SteadyLoad({ ...LOAD, dispatcher, model, vocabularySize, seed: SEED });
  try {
    await load.settle(SETTLE_LIMIT_MS);
    load.takeTpots();
    await sleep(windowMs);
    load.check();
    return median(load.takeTpots());
  } finally {
    await load.stop();
  }
}

/** What a load would have taken on the machine as it was at the beginning. */
export function atFirstSpeed(load: LoadMeasurement, slowness: number): LoadMeasurement {
  const { attentionMs, exchangeMs, expertsMs, stepMs, totalMs } = load;
  return {
    ...load,
    attentionMs: attentionMs / slowness,
    exchangeMs: exchangeMs / slowness,
    expertsMs: expertsMs / slowness,
    stepMs: stepMs / slowness,
    totalMs: totalMs / slowness,
  };
}
