import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';
import { allocateStep } from '../../../gpu-pool/exchange/exchange.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { relayAnswerListKey } from '../../../shared/protocol/keys.ts';
import type { LayerStep } from '../../../shared/protocol/layer-step.ts';
import { useRedis } from '../redis.ts';
import {
  EXPERTS,
  fillStep,
  LAYERS,
  MODEL,
  PLACEMENT_VERSION,
  referenceOutput,
  SHAPE,
} from './link-harness.ts';
import { RelayHarness, type RelayHarnessOptions } from './relay-harness.ts';

/** Bound for steps that are to be answered. */
export const GENEROUS_MS = 15_000;
/** Over the documented time after which a step is given up, what it may take. */
export const SLACK_MS = 1_500;
/** The documented time after which a step is given up where steps usually are fast. */
export const RELAY_BOUND_MS = 1_000;

/** Gives the tests of a file relays through a Redis server of their own. */
export function useRelays() {
  const redis = useRedis();
  const start = (options: Partial<RelayHarnessOptions>): Promise<RelayHarness> =>
    RelayHarness.start(redis.url, { instances: [1, 2], overdueAfterMs: GENEROUS_MS, ...options });
  return {
    redis,
    /** A harness of the test's own, which it may leave broken. */
    async open(options: Partial<RelayHarnessOptions> = {}): Promise<RelayHarness> {
      const harness = await start(options);
      onTestFinished(() => harness.close());
      return harness;
    },
    /**
     * A harness for the tests of the enclosing `describe`. After each of them its experts compute again, and it must give the
     * right shares; what was late has then come.
     */
    useHarness(options: Partial<RelayHarnessOptions> = {}): () => RelayHarness {
      let harness: RelayHarness;
      beforeAll(async () => {
        harness = await start(options);
      });
      afterEach(async () => {
        for (const position of everyHost(harness)) harness.setBehaviour(position, 'compute');
        await expectRightShares(harness);
      });
      afterAll(() => harness.close());
      return () => harness;
    },
  };
}

/** Positions of all hosts. */
export const everyHost = ({ hosts }: RelayHarness): number[] => hosts.map((_, position) => position);

/** List of the messages that Redis joins of the hosts' answers. */
export const joinedList = ({ attention }: RelayHarness): string => relayAnswerListKey(MODEL, attention);

export function makeStep(seed: number, rows = seed % (SHAPE.maxRows + 1)): LayerStep {
  const step = allocateStep(SHAPE);
  fillStep(step, SHAPE, EXPERTS, rows, seededRandom(seed));
  step.layer = seed % LAYERS;
  step.placementVersion = PLACEMENT_VERSION;
  return step;
}

/** Runs a step and returns the share of each host; NaN where none was written. */
export async function runStep(
  harness: RelayHarness,
  step: LayerStep,
  to = everyHost(harness),
): Promise<Float32Array[]> {
  const shares = harness.hosts.map(() => new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN));
  await harness.relay.exchange(step, to, shares);
  return shares;
}

/** Runs a step whose shares must be those of the definition. */
export async function expectRightShares(
  harness: RelayHarness,
  seed = 7,
  to = everyHost(harness),
): Promise<void> {
  const step = makeStep(seed);
  const shares = await runStep(harness, step, to);
  for (const [position, share] of shares.entries()) {
    const expected = new Float32Array(share.length).fill(Number.NaN);
    const isHeld = (expert: number) => harness.holds(position, step.layer, expert);
    if (to.includes(position)) expected.set(referenceOutput(step, SHAPE, isHeld));
    expect(share).toEqual(expected);
  }
}

/** Takes what is pushed to `list` next, before whoever else waits for it. */
export async function steal(harness: RelayHarness, list: string): Promise<{ stolen: Promise<Buffer> }> {
  const thief = new Redis(harness.url);
  onTestFinished(() => thief.disconnect());
  await thief.ping();
  const stolen = thief.blpopBuffer(list, 0).then((popped) => popped![1]);
  stolen.catch(() => {});
  // Redis serves those that wait in their order: a host that waits already has to wait anew, behind the thief.
  await sleep(50);
  await harness.killConnections('peer');
  await sleep(300);
  return { stolen };
}
