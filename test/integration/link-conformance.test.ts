import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { allocateStep } from '../../gpu-pool/exchange/exchange.ts';
import {
  AnswerOverdueError,
  ExpertFailedError,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  StalePlacementError,
  StepTooLargeError,
} from '../../gpu-pool/exchange/link.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import {
  EXPERTS,
  fillStep,
  type HarnessOptions,
  LAYERS,
  type LinkHarness,
  PLACEMENT_VERSION,
  referenceOutput,
  SHAPE,
  type StartHarness,
} from '../support/exchange/link-harness.ts';
import { startRedisHarness } from '../support/exchange/redis-harness.ts';
import { startSharedMemoryHarness } from '../support/exchange/shared-memory-harness.ts';
import { startSocketHarness } from '../support/exchange/socket-harness.ts';
import { SLOW_MS } from '../support/exchange/test-expert.ts';
import { useRedis } from '../support/redis.ts';

/** Every link keeps the promises of `ExpertLink`; a new kind of link adds its harness to this list. */
const redis = useRedis();
const harnesses: readonly { name: string; start: StartHarness; blocks?: true }[] = [
  // On a thread that blocks nothing can happen during a step: two cases are for the others only.
  {
    name: 'shared memory, blocking',
    start: (options) => startSharedMemoryHarness('block', options),
    blocks: true,
  },
  { name: 'shared memory, yielding', start: (options) => startSharedMemoryHarness('yield', options) },
  { name: 'Redis over TCP', start: (options) => startRedisHarness(redis.url, options) },
  { name: 'Redis over a Unix socket', start: (options) => startRedisHarness(redis.socketPath, options) },
  { name: 'Unix socket', start: (options) => startSocketHarness('unix', options) },
  { name: 'TCP', start: (options) => startSocketHarness('tcp', options) },
];

/** Bound for steps that are to be answered: far over what the busiest machine takes. */
const GENEROUS_MS = 15_000;
/** Bound for steps that are not to be answered, and what a step may take over its bound. */
const TIGHT_MS = 600;
const SLACK_MS = 1_500;

describe.each(harnesses)('$name', ({ start, blocks }) => {
  describe('a link that is used again and again', () => {
    let harness: LinkHarness;
    beforeAll(async () => {
      harness = await start({ instances: 2, overdueAfterMs: GENEROUS_MS });
    });
    afterEach(() => harness.setBehaviour('compute'));
    afterAll(() => harness.close());

    test('gives the values of the definition', () => expectDefinition(harness.link));

    test('answers a sequence of steps each with its own answer, and counts them', async () => {
      const { link } = harness;
      const before = { ...link.statistics };
      const steps = Array.from({ length: 50 }, (_, i) => makeStep(1 + (i % SHAPE.maxRows), i % LAYERS, i));
      for (const step of steps) expect(await run(link, step)).toEqual(referenceOutput(step, SHAPE));
      const { layerSteps, messages, totalCombineUs, totalRoundTripUs } = link.statistics;
      expect(layerSteps - before.layerSteps).toBe(steps.length);
      expect(messages - before.messages).toBeGreaterThanOrEqual(2 * steps.length);
      const combinedUs = totalCombineUs - before.totalCombineUs;
      expect(combinedUs).toBeGreaterThan(0);
      expect(combinedUs).toBeLessThan(totalRoundTripUs - before.totalRoundTripUs);
    });

    test('refuses a step over the row limit without sending it', async () => {
      const { link, waitingSteps } = harness;
      const before = { ...link.statistics };
      const step = makeStep(SHAPE.maxRows, 0, 1);
      step.rows = SHAPE.maxRows + 1;
      await expect(run(link, step)).rejects.toThrow(StepTooLargeError);
      expect(await waitingSteps()).toBe(0);
      expect(link.statistics).toEqual(before);
      await expectRightAnswer(link);
    });

    if (!blocks) {
      test('refuses a step while another is under way, which still completes', async () => {
        const { link, setBehaviour, waitingSteps } = harness;
        setBehaviour('silent');
        const first = makeStep(3, 0, 1);
        const answer = run(link, first);
        for (let i = 0; i < 20; i++) {
          await expect(run(link, makeStep(2, 0, 2))).rejects.toThrow(LinkBusyError);
        }
        expect(await waitingSteps()).toBeLessThanOrEqual(1);
        setBehaviour('compute');
        expect(await answer).toEqual(referenceOutput(first, SHAPE));
        await expectRightAnswer(link);
      });
    }

    test('waits for a slow expert', async () => {
      harness.setBehaviour('slow');
      const startedAtMs = performance.now();
      await expectRightAnswer(harness.link);
      expect(performance.now() - startedAtMs).toBeGreaterThan(0.9 * SLOW_MS);
    });

    test('tells which placement version the peer holds, and goes on under it', async () => {
      const { link } = harness;
      const step = makeStep(3, 1, 1);
      step.placementVersion = PLACEMENT_VERSION - 1;
      const error = await run(link, step).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(StalePlacementError);
      expect(error).toMatchObject({ heldVersion: PLACEMENT_VERSION });
      await expectRightAnswer(link);
    });

    test('tells what an expert failed with, and goes on', async () => {
      const { link, setBehaviour } = harness;
      setBehaviour('fail');
      const failed = await run(link, makeStep(3, 1, 1)).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(ExpertFailedError);
      expect((failed as Error).message).toMatch(
        /Expert instance [01]: expert \d is out of order – für heute/,
      );
      setBehaviour('compute');
      await expectRightAnswer(link);
    });

    test.each([
      ['an expert that does not exist', (step: LayerStep) => step.expertIds.fill(EXPERTS), /names expert 9/],
      ['a layer that does not exist', (step: LayerStep) => Object.assign(step, { layer: LAYERS }), /layer 3/],
    ])('tells that a step names %s, and goes on', async (_, spoil, message) => {
      const step = makeStep(3, 1, 1);
      spoil(step);
      await expect(run(harness.link, step)).rejects.toThrow(message);
      await expectRightAnswer(harness.link);
    });
  });

  /** A link of the test's own, which it may leave broken. */
  async function open(options: Partial<HarnessOptions> = {}): Promise<LinkHarness> {
    const harness = await start({ instances: 2, overdueAfterMs: GENEROUS_MS, ...options });
    onTestFinished(() => harness.close());
    return harness;
  }

  test.each([1, 4])('gives the values of the definition with %i expert instances', async (instances) => {
    const { link } = await open({ instances });
    await expectDefinition(link);
  });

  test('drops answers that come twice', async () => {
    const { link } = await open({ doubleAnswers: true });
    for (let i = 0; i < 20; i++) await expectRightAnswer(link, i);
  });

  if (!blocks) {
    test('ends the step under way when it is closed', async () => {
      const { link, setBehaviour } = await open();
      setBehaviour('silent');
      const failure = expectFailure(link, LinkClosedError, SLACK_MS);
      await sleep(50);
      await link.close();
      await failure;
    });
  }

  test('tells that the peer was lost before the step', async () => {
    const { link, losePeer } = await open();
    await expectRightAnswer(link);
    await losePeer(0);
    await expectFailure(link, PeerLostError, 2 * SLACK_MS);
    await expectFailure(link, PeerLostError, 2 * SLACK_MS);
  });

  test('tells that the peer was lost during the step', async () => {
    const { link, losePeer, setBehaviour } = await open();
    await expectRightAnswer(link);
    setBehaviour('silent');
    const lost = losePeer(200);
    await expectFailure(link, PeerLostError, 2 * SLACK_MS);
    await lost;
  });

  test('tells that an expert instance of the peer ended during the step', async () => {
    const { link, setBehaviour } = await open();
    setBehaviour('die');
    const error = await run(link, makeStep(4, 0, 5)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(PeerLostError);
    expect((error as PeerLostError).lost).toBeTypeOf('number');
    await expectFailure(link, PeerLostError, 2 * SLACK_MS);
  });

  test('tells that a living peer is silent, and never takes its late answer for that of a later step', async () => {
    const { link, setBehaviour, waitingSteps } = await open({ overdueAfterMs: TIGHT_MS });
    setBehaviour('silent');
    for (let i = 0; i < 3; i++) await expectFailure(link, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    expect(await waitingSteps()).toBeLessThanOrEqual(1);
    setBehaviour('compute');
    for (let i = 0; i < 20; i++) await expectRightAnswer(link, i);
  });

  test('does not compute under another placement than its peer', async () => {
    const { link } = await open({ peerVersion: PLACEMENT_VERSION + 1 });
    const error = await run(link, makeStep(3, 1, 1)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(StalePlacementError);
    expect(error).toMatchObject({ heldVersion: PLACEMENT_VERSION + 1 });
  });

  test('takes no more steps when it is closed', async () => {
    const { link } = await open();
    await link.close();
    await expectFailure(link, LinkClosedError, SLACK_MS);
    expect(link.statistics.layerSteps).toBe(0);
  });
});

/** Random steps, the smallest and the largest among them, have the output of the definition. */
async function expectDefinition(link: LinkHarness['link']): Promise<void> {
  const shapes = fc.record({
    rows: fc.integer({ min: 0, max: SHAPE.maxRows }),
    layer: fc.nat(LAYERS - 1),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ rows, layer, seed }) => {
      const step = makeStep(rows, layer, seed);
      expect(await run(link, step)).toEqual(referenceOutput(step, SHAPE));
    }),
    {
      numRuns: 60,
      examples: [[{ rows: 0, layer: 0, seed: 1 }], [{ rows: SHAPE.maxRows, layer: 2, seed: 2 }]],
    },
  );
}

function makeStep(rows: number, layer: number, seed: number): LayerStep {
  const step = allocateStep(SHAPE);
  fillStep(step, SHAPE, EXPERTS, rows, uniform(seed));
  step.layer = layer;
  step.placementVersion = PLACEMENT_VERSION;
  return step;
}

async function run(link: LinkHarness['link'], step: LayerStep): Promise<Float32Array> {
  // What was there before must not shine through.
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN);
  await link.exchange(step, output);
  return output.subarray(0, step.rows * SHAPE.hiddenSize);
}

async function expectRightAnswer(link: LinkHarness['link'], seed = 99): Promise<void> {
  const step = makeStep(1 + (seed % SHAPE.maxRows), seed % LAYERS, seed);
  expect(await run(link, step)).toEqual(referenceOutput(step, SHAPE));
}

async function expectFailure(
  link: LinkHarness['link'],
  failure: new (...args: never[]) => Error,
  withinMs: number,
): Promise<void> {
  const startedAtMs = performance.now();
  await expect(run(link, makeStep(4, 0, 5))).rejects.toThrow(failure);
  expect(performance.now() - startedAtMs).toBeLessThan(withinMs);
}

/** Uniform numbers in [0, 1) (mulberry32). */
function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
