import { afterAll, afterEach, beforeAll } from 'vitest';
import type { StartGatewayOptions } from '../../../functions/gateway/node.ts';
import { createKeyedBed, type KeyedBed } from './keyed-bed.ts';
import { answer } from './scripted-pool.ts';

const TEXTS = ['a'];

/** A keyed bed whose pool answers with one token, at once or when a test lets it. */
export interface HoldingBed extends KeyedBed {
  /** From now on plays only so many events of each answer, and the others at `release`. */
  readonly hold: (shown: number) => void;
  /** Plays the rest of what is held, and whole answers from now on. It is done after each test. */
  readonly release: () => void;
}

/**
 * Gives the tests of a file one bed.
 *
 * @returns it, filled in before the first test
 */
export function useHoldingBed(options: Partial<StartGatewayOptions> = {}): HoldingBed {
  const bed = {} as KeyedBed;
  let letGo = (): void => {};
  const release = (): void => {
    letGo();
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, TEXTS)));
  };
  beforeAll(async () => {
    Object.assign(bed, await createKeyedBed(options));
  });
  afterEach(release);
  afterAll(() => bed.close());
  return Object.assign(bed, {
    hold(shown: number) {
      const { promise, resolve } = Promise.withResolvers<void>();
      letGo = resolve;
      bed.pool.play(async ({ choice }, emit) => {
        const events = answer(choice, TEXTS);
        if (shown > 0) await emit(...events.slice(0, shown));
        await promise;
        await emit(...events.slice(shown));
      });
    },
    release,
  });
}
