import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BATCH_PRIORITY,
  backlogsOf,
  EMPTY_FAIR_STATE,
  type FairState,
  FIRST_LEVEL,
  LAST_LEVEL,
  levelPriority,
  reserveTags,
  sequencesBefore,
  UNPLACED_TAG,
} from './fair-priority.ts';

interface Sequence {
  readonly owner: string;
  readonly tag: number;
  /** Number in order of arrival. */
  readonly arrival: number;
}

/** A queue in the order of its tags, and of arrival where they are equal, as BullMQ's is. */
class FairQueue {
  state: FairState = EMPTY_FAIR_STATE;
  readonly waiting: Sequence[] = [];
  #arrivals = 0;

  get headTag(): number | null {
    return this.waiting.length === 0 ? null : Math.min(...this.waiting.map(({ tag }) => tag));
  }

  /** @returns the first of the sequences */
  join(owner: string, count: number): Sequence {
    const { firstTag, state } = reserveTags(this.state, owner, count, this.headTag);
    this.state = state;
    const joined = Array.from({ length: count }, (_, index) => ({
      owner,
      tag: firstTag + index,
      arrival: this.#arrivals++,
    }));
    this.waiting.push(...joined);
    return joined[0]!;
  }

  take(): Sequence | undefined {
    if (this.waiting.length === 0) return undefined;
    const isBefore = (a: Sequence, b: Sequence) =>
      a.tag < b.tag || (a.tag === b.tag && a.arrival < b.arrival);
    const next = this.waiting.reduce((first, each) => (isBefore(each, first) ? each : first));
    this.waiting.splice(this.waiting.indexOf(next), 1);
    return next;
  }

  /** How many are taken before this one, which waits. */
  takenBefore(sequence: Sequence): number {
    for (let count = 0; ; count++) if (this.take() === sequence) return count;
  }
}

const OWNERS = ['a', 'b', 'c', 'd'];
const owner = fc.constantFrom(...OWNERS);
/** How many an owner queues at once; null: one is taken. */
const happening = fc.option(fc.tuple(owner, fc.integer({ min: 1, max: 4 })), { nil: null });
const MOST_HAPPENINGS = 24;
const happenings = fc.array(happening, { maxLength: MOST_HAPPENINGS });
/** Takes all that may wait after so many happenings twice. */
const takeAll = new Array<null>(8 * MOST_HAPPENINGS).fill(null);

function play(queue: FairQueue, events: readonly ([string, number] | null)[]): Sequence[] {
  const taken: Sequence[] = [];
  for (const event of events) {
    if (event !== null) queue.join(...event);
    else taken.push(...[queue.take()].filter((sequence) => sequence !== undefined));
  }
  return taken;
}

describe('an owner', () => {
  test('with one sequence goes before another’s five hundred', () => {
    const queue = new FairQueue();
    queue.join('flood', 500);
    for (let count = 0; count < 16; count++) queue.take();
    const single = queue.join('single', 1);
    expect(queue.takenBefore(single)).toBe(1);
  });

  test('that always has one waiting starves no other', () => {
    const queue = new FairQueue();
    queue.join('flood', 10);
    const taken: string[] = [];
    for (let count = 0; count < 20; count++) {
      queue.join('steady', 1);
      taken.push(queue.take()!.owner);
    }
    expect(taken.filter((each) => each === 'flood')).toHaveLength(10);
  });

  test('is served in its own order', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        const queue = new FairQueue();
        const taken = play(queue, [...events, ...takeAll]);
        for (const each of OWNERS) {
          const arrivals = taken.filter((sequence) => sequence.owner === each).map(({ arrival }) => arrival);
          expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  test('waits for no more than it is told, if nothing comes later', () => {
    fc.assert(
      fc.property(happenings, owner, (events, own) => {
        const queue = new FairQueue();
        play(queue, events);
        const backlogs = backlogsOf(queue.state, queue.headTag);
        const told = sequencesBefore(backlogs, own);
        const before = queue.takenBefore(queue.join(own, 1));
        expect(before).toBeLessThanOrEqual(told);
        // Of each owner the sequence with the smallest tag may have been taken, which is not known.
        expect(before).toBeGreaterThanOrEqual(told - OWNERS.length);
      }),
    );
  });

  test('waits for one of each other owner and one more for each of its own, whatever comes later', () => {
    fc.assert(
      fc.property(happenings, owner, happenings, (events, own, later) => {
        const queue = new FairQueue();
        play(queue, events);
        const backlog = backlogsOf(queue.state, queue.headTag).get(own) ?? 0;
        const sequence = queue.join(own, 1);
        const taken = play(queue, [...later, ...takeAll]);
        expect(taken.indexOf(sequence)).toBeLessThanOrEqual(backlog + (OWNERS.length - 1) * (backlog + 1));
      }),
    );
  });

  test('has as many taken as any other while all have some waiting', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: OWNERS.length });
    fc.assert(
      fc.property(counts, (waiting) => {
        const queue = new FairQueue();
        for (const [index, count] of waiting.entries()) queue.join(OWNERS[index]!, count);
        const taken = new Array<number>(waiting.length).fill(0);
        while (taken.every((count, index) => count < waiting[index]!)) {
          taken[OWNERS.indexOf(queue.take()!.owner)]! += 1;
          expect(Math.max(...taken) - Math.min(...taken)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

test('levels come one after the other, before batches', () => {
  expect(levelPriority(FIRST_LEVEL)).toBe(1);
  for (let level = FIRST_LEVEL; level <= LAST_LEVEL; level++) {
    expect(levelPriority(level) + UNPLACED_TAG).toBe(levelPriority(level + 1) - 1);
  }
  expect(levelPriority(LAST_LEVEL) + UNPLACED_TAG).toBeLessThan(BATCH_PRIORITY);
});

test('no tag is as large as that of what has no place', () => {
  const full = reserveTags(EMPTY_FAIR_STATE, 'a', UNPLACED_TAG + 10, null).state;
  expect(full).toMatchObject({ latest: UNPLACED_TAG });
  expect(reserveTags(full, 'a', 1, 0).state.finishes.get('a')).toBe(UNPLACED_TAG);
});
