import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MARK } from '../../test/support/exchange/doubling-exchange.ts';
import { RoundThread } from '../../test/support/exchange/round-threads.ts';

/** Bound within which nobody hangs, on a machine that is busy with other things. */
const HANG_MS = 8_000;
/** Long enough for a thread to be where it was told to wait. */
const SETTLE_MS = 60;
/** The documented time that an instance waits for others that have work, less what timers are early. */
const GATHER_MS = 1.9;
const EXCHANGE_FAILURE = { isExchangeError: true };
const LEADER_ENDED = {
  isExchangeError: true,
  isInterruption: true,
  message: expect.stringMatching(/sent for this host has ended/),
};

async function start(instances: number): Promise<RoundThread[]> {
  const threads = await RoundThread.start(instances);
  onTestFinished(async () => {
    await Promise.all(threads.map((thread) => thread.kill()));
  });
  return threads;
}

/** Starts instances that all take part in one round. */
async function startRound(instances: number): Promise<RoundThread[]> {
  const threads = await start(instances + 1);
  await beginTogether(threads.slice(0, instances), threads[instances]!);
  return threads.slice(0, instances);
}

/** Begins a round of all `threads`, which join while `holder` is in a round of its own. */
async function beginTogether(threads: readonly RoundThread[], holder: RoundThread): Promise<void> {
  await all(threads, (thread) => thread.setActive(false));
  await within(holder.begin());
  await all(threads, (thread) => thread.setActive(true));
  const joins = threads.map((thread) => thread.joins());
  const begun = threads.map((thread) => thread.begin());
  await within(Promise.all(joins));
  await sleep(SETTLE_MS);
  await within(holder.end());
  await within(Promise.all(begun));
}

const all = <T>(threads: readonly RoundThread[], act: (thread: RoundThread) => Promise<T>): Promise<T[]> =>
  within(Promise.all(threads.map(act)));

/** @throws Error when `promise` is still pending after the bound */
async function within<T>(promise: Promise<T>): Promise<T> {
  const limit = new AbortController();
  const hangs = sleep(HANG_MS, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`still waiting after ${HANG_MS} ms`);
  });
  hangs.catch(() => {});
  try {
    return await Promise.race([promise, hangs]);
  } finally {
    limit.abort();
  }
}

describe('a round', () => {
  test.each([1, 2, 3, 4])(
    'gives each of %i instances its own rows, however they pause, idle, fail and leave',
    async (count) => {
      const threads = await start(count);
      const played = await Promise.all(
        threads.map((thread) =>
          thread.play({ seed: 100 * count + thread.index, steps: 120, layers: 5, pauses: true }),
        ),
      );
      const sizes = played.flatMap((one) => one.sizes);
      expect(Math.max(...sizes)).toBe(count);
      for (const { layerSteps, failures } of played) {
        expect(layerSteps).toBeGreaterThan(200);
        expect(failures).toBeGreaterThan(0);
      }
    },
  );

  test('brings instances together that have work all the time', async () => {
    const threads = await start(3);
    const play = { steps: 400, layers: 3, pauses: false };
    const played = await all(threads, (thread) => thread.play({ seed: thread.index, ...play }));
    const sizes = played.flatMap((one) => one.sizes);
    // A step sends no rows one time in four, so two of three are the mean of those that step together.
    expect(sizes.reduce((sum, size) => sum + size, 0) / sizes.length).toBeGreaterThan(1.7);
  });

  test('is led by the first instance in it, which sends the rows of all in their order', async () => {
    const threads = await startRound(3);
    for (let layer = 0; layer < 4; layer++) {
      expect(await all(threads, (thread) => thread.run(layer))).toEqual([[0, 1, 2], [], []]);
    }
  });

  test('begins at once when all that have work have joined: an idle instance is not waited for', async () => {
    const [first, second] = (await start(2)) as [RoundThread, RoundThread];
    await first.setActive(true);
    await second.setActive(true);
    await second.setActive(false);
    let leastMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 30; i++) {
      leastMs = Math.min(leastMs, (await within(first.begin())).waitedMs);
      await first.end();
    }
    expect(leastMs).toBeLessThan(GATHER_MS / 2);
  });

  test('begins without an instance that has work but is late, which joins the next one', async () => {
    const [first, second] = (await start(2)) as [RoundThread, RoundThread];
    await second.setActive(true);
    await first.setActive(true);
    for (let i = 0; i < 5; i++) {
      expect((await within(first.begin())).waitedMs).toBeGreaterThan(GATHER_MS);
      let isIn = false;
      const late = second.begin().then(() => {
        isIn = true;
      });
      for (let layer = 0; layer < 3; layer++) expect(await first.run(layer)).toEqual([0]);
      await sleep(SETTLE_MS);
      expect(isIn).toBe(false);
      await first.end();
      await within(late);
      expect(await second.run(0)).toEqual([1]);
      await second.end();
    }
  });

  test('leaves those that have work the same time to join after another round', async () => {
    const [first, second, absent] = (await start(3)) as [RoundThread, RoundThread, RoundThread];
    for (let i = 0; i < 8; i++) {
      await absent.setActive(false);
      await within(first.begin());
      await absent.setActive(true);
      const begun = second.begin();
      // So the end comes at any moment of the time that the second one waits for news.
      await sleep(10 + 0.3 * i);
      const endedAtMs = await first.end();
      expect((await within(begun)).begunAtMs - endedAtMs).toBeGreaterThan(GATHER_MS);
      await second.end();
    }
  });

  test('goes on without an instance that leaves it before its rows are in place', async () => {
    const threads = await startRound(3);
    const [first, second, third] = threads as [RoundThread, RoundThread, RoundThread];
    await all(threads, (thread) => thread.run(0));
    const sent = first.run(1);
    const followed = third.run(1);
    await sleep(SETTLE_MS);
    await second.end();
    expect(await within(sent)).toEqual([0, 2]);
    await within(followed);
    expect(await all([first, third], (thread) => thread.run(2))).toEqual([[0, 2], []]);
  });

  test.each([
    ['before the others have their rows in place', 0],
    ['while the others wait for it', SETTLE_MS],
  ])('is led by the next instance when the leader leaves %s', async (_, waitsMs) => {
    const [first, second, third] = (await startRound(3)) as [RoundThread, RoundThread, RoundThread];
    await all([first, second, third], (thread) => thread.run(0));
    if (waitsMs === 0) await first.end();
    const run = all([second, third], (thread) => thread.run(1));
    await sleep(waitsMs);
    if (waitsMs > 0) await first.end();
    expect(await run).toEqual([[1, 2], []]);
    expect(await all([second, third], (thread) => thread.run(2))).toEqual([[1, 2], []]);
  });

  test('fails for all its instances when the exchange does, and the next one works', async () => {
    const threads = await start(4);
    const holder = threads.pop()!;
    for (let i = 0; i < 3; i++) {
      await beginTogether(threads, holder);
      await all(threads, (thread) => thread.run(0));
      const mark = (thread: RoundThread) => (thread.index === i ? MARK.fail : MARK.none);
      const runs = threads.map((thread) => thread.run(1, { mark: mark(thread) }));
      const ended = await within(Promise.allSettled(runs));
      for (const { status, reason } of ended as PromiseRejectedResult[]) {
        expect(status).toBe('rejected');
        expect(reason).toMatchObject(EXCHANGE_FAILURE);
        expect(reason.message).toMatch(/somebody pulled the plug/);
        // All of them may send the step again, not only the one that sent it.
        expect(reason.isInterruption).toBe(true);
      }
      await all(threads, (thread) => thread.end());
    }
    await beginTogether(threads, holder);
    expect(await all(threads, (thread) => thread.run(0))).toEqual([[0, 1, 2], [], []]);
  });
});

describe('an instance whose thread is ended', () => {
  test('before its rows are in place is not waited for', async () => {
    const [first, second, third] = (await startRound(3)) as [RoundThread, RoundThread, RoundThread];
    const runs = all([first, third], (thread) => thread.run(0));
    await sleep(SETTLE_MS);
    await second.kill();
    expect(await runs).toEqual([[0, 2], []]);
  });

  test('while it waits for the leader leaves the others as they are', async () => {
    const [first, second, third] = (await startRound(3)) as [RoundThread, RoundThread, RoundThread];
    void second.run(0);
    await sleep(SETTLE_MS);
    await second.kill();
    expect(await all([first, third], (thread) => thread.run(0))).toEqual([[0, 2], []]);
    await all([first, third], (thread) => thread.end());
    expect(await all([first, third], (thread) => thread.begin())).toHaveLength(2);
  });

  test('while it sends for the others fails their layer step, and they go on without it', async () => {
    const threads = await start(4);
    const holder = threads.pop()!;
    const [leader, ...others] = threads as [RoundThread, ...RoundThread[]];
    await beginTogether(threads, holder);
    await all(threads, (thread) => thread.run(0));
    void leader.run(1, { mark: MARK.hang });
    const runs = others.map((thread) => thread.run(1));
    await sleep(SETTLE_MS);
    await leader.kill();
    for (const { reason } of (await within(Promise.allSettled(runs))) as PromiseRejectedResult[]) {
      expect(reason).toMatchObject(LEADER_ENDED);
    }
    await all(others, (thread) => thread.end());
    await beginTogether(others, holder);
    expect(await all(others, (thread) => thread.run(0))).toEqual([[1, 2], []]);
  });

  test('before it sends for the others fails their layer step, also for one that comes to it later', async () => {
    const [leader, second, third] = (await startRound(3)) as [RoundThread, RoundThread, RoundThread];
    const waits = second.run(0);
    await sleep(SETTLE_MS);
    await leader.kill();
    await expect(within(waits)).rejects.toMatchObject(LEADER_ENDED);
    await second.end();
    await expect(within(third.run(0))).rejects.toMatchObject(LEADER_ENDED);
    await third.end();
    await all([second, third], (thread) => thread.begin());
  });

  test('takes part again with another thread, when the round in which it ended is over', async () => {
    const threads = await start(3);
    const holder = threads.pop()!;
    const [leader, follower] = threads as [RoundThread, RoundThread];
    await beginTogether([leader, follower], holder);
    const waits = follower.run(0);
    await sleep(SETTLE_MS);
    await leader.kill();
    expect(leader.readmit()).toBe(false);
    await expect(within(waits)).rejects.toMatchObject(LEADER_ENDED);
    expect(leader.readmit()).toBe(false);
    await follower.end();
    expect(leader.readmit()).toBe(true);
    const again = await within(leader.startAgain());
    onTestFinished(() => again.kill());
    await beginTogether([again, follower], holder);
    expect(await all([again, follower], (thread) => thread.run(0))).toEqual([[0, 1], []]);
  });

  test('while it waits for a round is not part of it', async () => {
    const [first, second] = (await start(2)) as [RoundThread, RoundThread];
    await within(first.begin());
    await second.setActive(true);
    void second.begin();
    await sleep(SETTLE_MS);
    await second.kill();
    await first.end();
    for (let i = 0; i < 3; i++) {
      await within(first.begin());
      expect(await within(first.run(0))).toEqual([0]);
      await first.end();
    }
  });

  test('at any moment of taking and giving back the lock leaves it to the others', async () => {
    const threads = await start(9);
    const survivor = threads.pop()!;
    for (const thread of threads) {
      thread.toggle();
      await sleep(10);
      await thread.kill();
      await within(survivor.setActive(true));
    }
    await within(survivor.begin());
    expect(await survivor.run(0)).toEqual([8]);
  });

  test('at any moment of a round never makes the others hang', async () => {
    for (let attempt = 0; attempt < 4; attempt++) {
      const threads = await start(4);
      const [survivor, ...victims] = [threads[attempt]!, ...threads.toSpliced(attempt, 1)];
      const play = { layers: 3, pauses: false };
      for (const thread of victims) void thread.play({ seed: thread.index, steps: 1e9, ...play });
      const played = survivor!.play({ seed: 50 + attempt, steps: 3_000, ...play });
      for (const thread of victims) {
        await sleep(20 + 17 * attempt);
        await thread.kill();
      }
      expect((await within(played)).layerSteps).toBeGreaterThan(1_000);
    }
  });
});
