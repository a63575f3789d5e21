import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { MOST_INSTANCES } from '../options/pool-options.ts';

/** Sizes as they are written: `2A4E` is two attention and four expert instances. */
export const sizesName = ({ attention, experts }: PoolSizes): string => `${attention}A${experts}E`;

/** Parser of an option that takes sizes of both pools. @throws JanusError naming the flag */
export const poolSizes =
  (flag: string) =>
  (text: string): PoolSizes => {
    const found = /^(\d{1,4})A(\d{1,4})E$/i.exec(text);
    const [attention, experts] = [Number(found?.[1]), Number(found?.[2])];
    if (attention <= MOST_INSTANCES && experts <= MOST_INSTANCES) return { attention, experts };
    throw new JanusError(
      `${flag} is ${JSON.stringify(text)}; write sizes as 2A4E, two attention and four expert instances, ` +
        `at most ${MOST_INSTANCES} of each.`,
    );
  };
