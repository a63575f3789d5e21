import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  AnswerOverdueError,
  ExpertFailedError,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  StalePlacementError,
  StepTooLargeError,
} from '../../gpu-pool/exchange/link.ts';
import { joinAnswer } from '../../gpu-pool/exchange/redis-relay.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { answerBytes, dispatchBytes } from '../../shared/protocol/frame.ts';
import { dispatchListKey, gatherKey, relayAnswerListKey } from '../../shared/protocol/keys.ts';
import { MODEL, PLACEMENT_VERSION, referenceOutput, SHAPE } from '../support/exchange/link-harness.ts';
import { RELAY_CONNECTION_NAMES, type RelayHarness } from '../support/exchange/relay-harness.ts';
import {
  everyHost,
  expectRightShares,
  GENEROUS_MS,
  joinedList,
  makeStep,
  RELAY_BOUND_MS,
  runStep,
  SLACK_MS,
  steal,
  useRelays,
} from '../support/exchange/relay-steps.ts';
import { SLOW_MS } from '../support/exchange/test-expert.ts';

/** Bound for steps that are not to be answered. */
const TIGHT_MS = 600;

const { redis, open, useHarness } = useRelays();

async function expectFailure(
  harness: RelayHarness,
  failure: new (...args: never[]) => Error,
  withinMs: number,
): Promise<Error> {
  const startedAtMs = performance.now();
  const error = await runStep(harness, makeStep(5)).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(failure);
  expect(performance.now() - startedAtMs).toBeLessThan(withinMs);
  return error as Error;
}

describe.each([[[1]], [[1, 2]], [[1, 1, 1]], [[2, 3, 4]]])(
  'a relay to hosts with %j instances',
  (instances) => {
    const harness = useHarness({ instances });

    test('sends one message and receives one for each step', async () => {
      const sends = vi.spyOn(harness().sender, 'eval');
      const receives = vi.spyOn(harness().receiver, 'blpopBuffer');
      onTestFinished(() => {
        vi.restoreAllMocks();
      });
      const before = { ...harness().relay.statistics };
      const steps = 20;
      let bytes = before.bytes;
      for (let seed = 0; seed < steps; seed++) {
        await expectRightShares(harness(), seed);
        const { rows } = makeStep(seed);
        bytes += dispatchBytes(rows, SHAPE) + instances.length * (answerBytes(rows, SHAPE) + 4);
      }
      expect(sends).toHaveBeenCalledTimes(steps);
      expect(receives).toHaveBeenCalledTimes(steps);
      expect(harness().relay.statistics).toMatchObject({
        layerSteps: before.layerSteps + steps,
        messages: before.messages + 2 * steps,
        messagesSent: before.messagesSent + steps,
        bytes,
      });
      expect(await harness().redis.exists(joinedList(harness()))).toBe(0);
    });

    test('gives the shares of the hosts by their definition, whichever of them are asked', async () => {
      const random = seededRandom(instances.length);
      for (let i = 0; i < 60; i++) {
        const some = everyHost(harness()).filter(() => random() < 0.6);
        await expectRightShares(harness(), i, some.length > 0 ? some : [i % instances.length]);
      }
      expect(harness().relay.dropped).toBe(0);
    });
  },
);

describe('a relay that is used again and again', () => {
  const shared = useHarness();

  test.each([
    ['frame', ({ hosts }: RelayHarness) => dispatchListKey(MODEL, hosts[1]!)],
    ['message', joinedList],
  ])('gives a step up early whose %s was lost, where steps usually are fast', async (_, list) => {
    const harness = shared();
    await expectRightShares(harness);
    const { stolen } = await steal(harness, list(harness));
    const startedAtMs = performance.now();
    const error = await runStep(harness, makeStep(5)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(AnswerOverdueError);
    expect(performance.now() - startedAtMs).toBeGreaterThan(0.9 * RELAY_BOUND_MS);
    expect(performance.now() - startedAtMs).toBeLessThan(RELAY_BOUND_MS + SLACK_MS);
    await stolen;
    for (let i = 0; i < 5; i++) await expectRightShares(harness, i);
  });

  test('waits for the slowest host', async () => {
    const harness = shared();
    harness.setBehaviour(1, 'slow');
    const startedAtMs = performance.now();
    await expectRightShares(harness);
    expect(performance.now() - startedAtMs).toBeGreaterThan(0.9 * SLOW_MS);
  });

  test('tells what an expert of one host failed with, and goes on', async () => {
    const harness = shared();
    harness.setBehaviour(1, 'fail');
    const error = await expectFailure(harness, ExpertFailedError, GENEROUS_MS);
    expect(error).toMatchObject({ host: 'host-1', message: expect.stringMatching(/out of order/) });
    harness.setBehaviour(1, 'compute');
    for (let i = 0; i < 5; i++) await expectRightShares(harness, i);
  });

  test('refuses a step while another is under way, and one that is too large', async () => {
    const harness = shared();
    const { layerSteps } = harness.relay.statistics;
    harness.setBehaviour(0, 'slow');
    const first = expectRightShares(harness, 5);
    await expectFailure(harness, LinkBusyError, SLACK_MS);
    await first;
    const tooLarge = makeStep(3);
    tooLarge.rows = SHAPE.maxRows + 1;
    await expect(runStep(harness, tooLarge)).rejects.toThrow(StepTooLargeError);
    expect(harness.relay.statistics.layerSteps).toBe(layerSteps + 1);
  });

  test.each(RELAY_CONNECTION_NAMES)('works again after the %s connections were killed', async (name) => {
    const harness = shared();
    let wrong = 0;
    for (let i = 0; i < 8; i++) {
      harness.setBehaviour(1, i % 2 === 0 ? 'slow' : 'compute');
      const step = expectRightShares(harness, i).catch((error) => {
        // A frame or a message that was lost with its connection; nothing else may happen.
        expect(error).toBeInstanceOf(AnswerOverdueError);
        wrong++;
      });
      expect(await harness.killConnections(name)).toBeGreaterThan(0);
      await step;
      await sleep(100);
      await expectRightShares(harness, i + 1);
    }
    expect(wrong).toBeLessThan(8);
  });
});

describe('a relay with little time for a step', () => {
  const shared = useHarness({ overdueAfterMs: TIGHT_MS });

  test('tells that a living host is silent, takes steps that it gives up out of their lists, and never takes late answers', async () => {
    const harness = shared();
    const { dropped } = harness.relay;
    harness.setBehaviour(1, 'silent');
    for (let i = 0; i < 3; i++) {
      const error = await expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
      expect(error.message).toMatch(/host-0 or host-1 is alive but did not answer/);
    }
    expect(await harness.waitingSteps(0)).toBe(0);
    expect(await harness.waitingSteps(1)).toBe(0);
    harness.setBehaviour(1, 'compute');
    for (let i = 0; i < 20; i++) await expectRightShares(harness, i);
    expect(harness.relay.dropped).toBeGreaterThan(dropped);
  });

  test('drops the message for an earlier step, and those that are none for it', async () => {
    const harness = shared();
    const { dropped } = harness.relay;
    const list = joinedList(harness);
    const { stolen } = await steal(harness, list);
    await expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    const earlier = await stolen;
    // Answers of the right step, but not one of each host: these begin with an answer to the step under way.
    harness.setBehaviour(0, 'silent');
    const step = makeStep(9);
    const shares = runStep(harness, step);
    const garbage = [Buffer.alloc(0), Buffer.from('?'), Buffer.alloc(200, 0xff), earlier.subarray(0, 100)];
    for (const message of [earlier, ...garbage, Buffer.concat([earlier, earlier])]) {
      await harness.redis.rpush(list, message);
    }
    await sleep(100);
    harness.setBehaviour(0, 'compute');
    const isHeld = (expert: number) => harness.holds(0, step.layer, expert);
    const expected = referenceOutput(step, SHAPE, isHeld);
    expect((await shares)[0]!.subarray(0, expected.length)).toEqual(expected);
    expect(harness.relay.dropped - dropped).toBe(6);
  });

  test('drops a message that has not one answer of each host', async () => {
    const harness = shared();
    const { dropped } = harness.relay;
    const list = joinedList(harness);
    const gathers = `${gatherKey(MODEL, harness.attention, 0).slice(0, -1)}*`;
    const before = await harness.redis.keys(gathers);
    harness.setBehaviour(1, 'silent');
    const failure = expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    await sleep(150);
    const gather = (await harness.redis.keys(gathers)).find((key) => !before.includes(key));
    const answer = (await harness.redis.hgetBuffer(gather!, '0'))!;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(answer.byteLength);
    const one = Buffer.concat([length, answer]);
    for (const message of [one, Buffer.concat([one, one])]) await harness.redis.rpush(list, message);
    await failure;
    expect(harness.relay.dropped - dropped).toBe(2);
  });
});

describe('a relay', () => {
  test('tells which placement version one of the hosts holds, and goes on with the others', async () => {
    const harness = await open({ instances: [1, 1, 1], versions: { 1: PLACEMENT_VERSION + 2 } });
    const error = await expectFailure(harness, StalePlacementError, GENEROUS_MS);
    expect(error).toMatchObject({ host: 'host-1', heldVersion: PLACEMENT_VERSION + 2 });
    await expectRightShares(harness, 3, [0, 2]);
  });

  test('tells that an expert instance of one host ended during the step, and goes on with the others', async () => {
    const harness = await open();
    harness.setBehaviour(0, 'die');
    const error = await expectFailure(harness, PeerLostError, 2 * SLACK_MS);
    expect(error).toMatchObject({ host: 'host-0' });
    await expectRightShares(harness, 4, [1]);
  });

  test.each([
    ['before', 0],
    ['during', 200],
  ])('tells that a host was lost %s the step, and goes on with the others', async (_, afterMs) => {
    const harness = await open();
    // After a slow step the time for lost frames is far longer than that in which a heartbeat ends.
    harness.setBehaviour(1, 'slow');
    await expectRightShares(harness);
    if (afterMs > 0) harness.setBehaviour(1, 'silent');
    const lost = harness.lose(1, afterMs);
    if (afterMs === 0) await lost;
    const startedAtMs = performance.now();
    const error = await runStep(harness, makeStep(5)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(PeerLostError);
    expect(error).toMatchObject({ host: 'host-1' });
    expect(performance.now() - startedAtMs).toBeLessThan(2 * SLACK_MS);
    await lost;
    expect(await harness.waitingSteps(1)).toBe(0);
    await expectRightShares(harness, 8, [0]);
  });

  test.each([0, 1])('is not confused when host %i answers everything twice', async (doubles) => {
    const harness = await open({ doubles });
    harness.setBehaviour(1 - doubles, 'slow');
    for (let i = 1; i < 15; i++) await expectRightShares(harness, i);
    harness.setBehaviour(1 - doubles, 'compute');
    for (let i = 0; i < 30; i++) await expectRightShares(harness, i);
  });

  test('ends the step under way when it is closed, and takes no more', async () => {
    const harness = await open();
    harness.setBehaviour(1, 'silent');
    const failure = expectFailure(harness, LinkClosedError, SLACK_MS);
    await sleep(50);
    await harness.relay.close();
    await failure;
    await expectFailure(harness, LinkClosedError, SLACK_MS);
  });
});

describe('answers that Redis joins', () => {
  const request = { attention: 'joiner', sequence: 77, gather: 2 };
  const gather = gatherKey(MODEL, request.attention, request.sequence);
  const list = relayAnswerListKey(MODEL, request.attention);
  const answer = (text: string) => Buffer.from(text);

  async function connect(): Promise<Redis> {
    const connection = new Redis(redis.url);
    onTestFinished(() => connection.disconnect());
    await connection.flushall();
    return connection;
  }

  test('are one message when each host has answered, however often one of them does', async () => {
    const connection = await connect();
    for (const text of ['first', 'again']) await joinAnswer(connection, MODEL, request, 0, answer(text));
    expect(await connection.exists(list)).toBe(0);
    await joinAnswer(connection, MODEL, request, 1, answer('other'));
    const joined = '\x05\0\0\0again\x05\0\0\0other';
    expect(await connection.lrange(list, 0, -1)).toEqual([joined]);
    expect(await connection.exists(gather)).toBe(0);
    await joinAnswer(connection, MODEL, request, 1, answer('late'));
    expect(await connection.llen(list)).toBe(1);
  });

  test('disappear in time when they are not complete, or not fetched', async () => {
    const connection = await connect();
    const expectLimit = async (key: string) => {
      expect(await connection.ttl(key)).toBeGreaterThan(0);
      expect(await connection.ttl(key)).toBeLessThanOrEqual(60);
    };
    await joinAnswer(connection, MODEL, request, 0, answer('one'));
    await expectLimit(gather);
    await joinAnswer(connection, MODEL, request, 1, answer('two'));
    await expectLimit(list);
    await joinAnswer(connection, MODEL, request, 0, answer('late'));
    await expectLimit(gather);
  });
});
