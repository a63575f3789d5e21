import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { allocateStep, type PooledExchange, type RegimePolicy } from '../../gpu-pool/exchange/exchange.ts';
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
import type { Regime } from '../../shared/exchange/regime.ts';
import { RegimeChooser } from '../../shared/exchange/regime-chooser.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { answerBytes, dispatchBytes } from '../../shared/protocol/frame.ts';
import { dispatchListKey, gatherKey, relayAnswerListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import {
  EXPERTS,
  fillStep,
  LAYERS,
  MODEL,
  PLACEMENT_VERSION,
  referenceOutput,
  SHAPE,
} from '../support/exchange/link-harness.ts';
import {
  RELAY_CONNECTION_NAMES,
  RelayHarness,
  type RelayHarnessOptions,
} from '../support/exchange/relay-harness.ts';
import { SLOW_MS } from '../support/exchange/test-expert.ts';
import { useRedis } from '../support/redis.ts';

const redis = useRedis();
/** Bound for steps that are to be answered. */
const GENEROUS_MS = 15_000;
/** Bound for steps that are not to be answered, and what a step may take over its bound. */
const TIGHT_MS = 600;
const SLACK_MS = 1_500;
/** The documented time after which a step is given up where steps usually are fast. */
const RELAY_BOUND_MS = 1_000;

async function open(options: Partial<RelayHarnessOptions> = {}): Promise<RelayHarness> {
  const harness = await RelayHarness.start(redis.url, {
    instances: [1, 2],
    overdueAfterMs: GENEROUS_MS,
    ...options,
  });
  onTestFinished(() => harness.close());
  return harness;
}

const everyHost = ({ hosts }: RelayHarness): number[] => hosts.map((_, position) => position);

function makeStep(seed: number, rows = seed % (SHAPE.maxRows + 1)): LayerStep {
  const step = allocateStep(SHAPE);
  fillStep(step, SHAPE, EXPERTS, rows, seededRandom(seed));
  step.layer = seed % LAYERS;
  step.placementVersion = PLACEMENT_VERSION;
  return step;
}

/** Runs a step and returns the share of each host; NaN where none was written. */
async function run(harness: RelayHarness, step: LayerStep, to = everyHost(harness)): Promise<Float32Array[]> {
  const shares = harness.hosts.map(() => new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN));
  await harness.relay.exchange(step, to, shares);
  return shares;
}

async function expectRightShares(harness: RelayHarness, seed = 7, to = everyHost(harness)): Promise<void> {
  const step = makeStep(seed);
  const shares = await run(harness, step, to);
  for (const [position, share] of shares.entries()) {
    const expected = new Float32Array(share.length).fill(Number.NaN);
    const isHeld = (expert: number) => harness.holds(position, step.layer, expert);
    if (to.includes(position)) expected.set(referenceOutput(step, SHAPE, isHeld));
    expect(share).toEqual(expected);
  }
}

async function expectFailure(
  harness: RelayHarness,
  failure: new (...args: never[]) => Error,
  withinMs: number,
): Promise<Error> {
  const startedAtMs = performance.now();
  const error = await run(harness, makeStep(5)).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(failure);
  expect(performance.now() - startedAtMs).toBeLessThan(withinMs);
  return error as Error;
}

/** Takes what is pushed to `list` next, before whoever else waits for it. */
async function steal(harness: RelayHarness, list: string): Promise<{ stolen: Promise<Buffer> }> {
  const thief = new Redis(redis.url);
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

const joinedList = ({ attention }: RelayHarness): string => relayAnswerListKey(MODEL, attention);

describe('a relay', () => {
  test.each([[[1, 2]], [[1, 1, 1]], [[2, 3, 4]]])(
    'gives the shares by their definition of hosts with %j instances, whichever of them are asked',
    async (instances) => {
      const harness = await open({ instances });
      const random = seededRandom(instances.length);
      for (let i = 0; i < 60; i++) {
        const some = everyHost(harness).filter(() => random() < 0.6);
        await expectRightShares(harness, i, some.length > 0 ? some : [i % instances.length]);
      }
      expect(harness.relay.dropped).toBe(0);
    },
  );

  test.each([[[1]], [[1, 2]], [[1, 1, 1]]])(
    'sends one message and receives one for each step to hosts with %j instances',
    async (instances) => {
      const harness = await open({ instances });
      const sends = vi.spyOn(harness.sender, 'eval');
      const receives = vi.spyOn(harness.receiver, 'blpopBuffer');
      const steps = 20;
      let bytes = 0;
      for (let seed = 0; seed < steps; seed++) {
        await expectRightShares(harness, seed);
        const { rows } = makeStep(seed);
        bytes += dispatchBytes(rows, SHAPE) + instances.length * (answerBytes(rows, SHAPE) + 4);
      }
      expect(sends).toHaveBeenCalledTimes(steps);
      expect(receives).toHaveBeenCalledTimes(steps);
      const counts = { layerSteps: steps, messages: 2 * steps, messagesSent: steps, bytes };
      expect(harness.relay.statistics).toMatchObject(counts);
      expect(await harness.redis.exists(joinedList(harness))).toBe(0);
    },
  );

  test('waits for the slowest host', async () => {
    const harness = await open();
    harness.setBehaviour(1, 'slow');
    const startedAtMs = performance.now();
    await expectRightShares(harness);
    expect(performance.now() - startedAtMs).toBeGreaterThan(0.9 * SLOW_MS);
  });

  test('tells which placement version one of the hosts holds, and goes on with the others', async () => {
    const harness = await open({ instances: [1, 1, 1], versions: { 1: PLACEMENT_VERSION + 2 } });
    const error = await expectFailure(harness, StalePlacementError, GENEROUS_MS);
    expect(error).toMatchObject({ host: 'host-1', heldVersion: PLACEMENT_VERSION + 2 });
    await expectRightShares(harness, 3, [0, 2]);
  });

  test('tells what an expert of one host failed with, and goes on', async () => {
    const harness = await open();
    harness.setBehaviour(1, 'fail');
    const error = await expectFailure(harness, ExpertFailedError, GENEROUS_MS);
    expect(error).toMatchObject({ host: 'host-1', message: expect.stringMatching(/out of order/) });
    harness.setBehaviour(1, 'compute');
    for (let i = 0; i < 5; i++) await expectRightShares(harness, i);
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
    const error = await run(harness, makeStep(5)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(PeerLostError);
    expect(error).toMatchObject({ host: 'host-1' });
    expect(performance.now() - startedAtMs).toBeLessThan(2 * SLACK_MS);
    await lost;
    expect(await harness.waitingSteps(1)).toBe(0);
    await expectRightShares(harness, 8, [0]);
  });

  test('tells that a living host is silent, and never takes late answers for those of a later step', async () => {
    const harness = await open({ overdueAfterMs: TIGHT_MS });
    harness.setBehaviour(1, 'silent');
    for (let i = 0; i < 3; i++) {
      const error = await expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
      expect(error.message).toMatch(/host-0 or host-1 is alive but did not answer/);
    }
    harness.setBehaviour(1, 'compute');
    for (let i = 0; i < 20; i++) await expectRightShares(harness, i);
    expect(harness.relay.dropped).toBeGreaterThan(0);
  });

  test('takes a step that it gives up out of the lists where it still waits', async () => {
    const harness = await open({ overdueAfterMs: TIGHT_MS });
    harness.setBehaviour(1, 'silent');
    for (let i = 0; i < 3; i++) await expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    expect(await harness.waitingSteps(0)).toBe(0);
    expect(await harness.waitingSteps(1)).toBe(0);
  });

  test.each([
    ['frame', ({ hosts }: RelayHarness) => dispatchListKey(MODEL, hosts[1]!)],
    ['message', joinedList],
  ])('gives a step up early whose %s was lost, where steps usually are fast', async (_, list) => {
    const harness = await open();
    await expectRightShares(harness);
    const { stolen } = await steal(harness, list(harness));
    const startedAtMs = performance.now();
    const error = await run(harness, makeStep(5)).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(AnswerOverdueError);
    expect(performance.now() - startedAtMs).toBeGreaterThan(0.9 * RELAY_BOUND_MS);
    expect(performance.now() - startedAtMs).toBeLessThan(RELAY_BOUND_MS + SLACK_MS);
    await stolen;
    for (let i = 0; i < 5; i++) await expectRightShares(harness, i);
  });

  test('drops the message for an earlier step, and those that are none for it', async () => {
    const harness = await open({ overdueAfterMs: TIGHT_MS });
    const list = joinedList(harness);
    const { stolen } = await steal(harness, list);
    await expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    const earlier = await stolen;
    // Answers of the right step, but not one of each host: these begin with an answer to the step under way.
    harness.setBehaviour(0, 'silent');
    const step = makeStep(9);
    const shares = run(harness, step);
    const garbage = [Buffer.alloc(0), Buffer.from('?'), Buffer.alloc(200, 0xff), earlier.subarray(0, 100)];
    for (const message of [earlier, ...garbage, Buffer.concat([earlier, earlier])]) {
      await harness.redis.rpush(list, message);
    }
    await sleep(100);
    harness.setBehaviour(0, 'compute');
    const isHeld = (expert: number) => harness.holds(0, step.layer, expert);
    const expected = referenceOutput(step, SHAPE, isHeld);
    expect((await shares)[0]!.subarray(0, expected.length)).toEqual(expected);
    expect(harness.relay.dropped).toBe(6);
  });

  test('drops a message that has not one answer of each host', async () => {
    const harness = await open({ overdueAfterMs: TIGHT_MS });
    const list = joinedList(harness);
    const gathers = `${gatherKey(MODEL, harness.attention, 0).slice(0, -1)}*`;
    harness.setBehaviour(1, 'silent');
    const failure = expectFailure(harness, AnswerOverdueError, TIGHT_MS + SLACK_MS);
    await sleep(150);
    const [gather] = await harness.redis.keys(gathers);
    const answer = (await harness.redis.hgetBuffer(gather!, '0'))!;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(answer.byteLength);
    const one = Buffer.concat([length, answer]);
    for (const message of [one, Buffer.concat([one, one])]) await harness.redis.rpush(list, message);
    await failure;
    expect(harness.relay.dropped).toBe(2);
  });

  test.each([0, 1])('is not confused when host %i answers everything twice', async (doubles) => {
    const harness = await open({ doubles });
    harness.setBehaviour(1 - doubles, 'slow');
    for (let i = 1; i < 15; i++) await expectRightShares(harness, i);
    harness.setBehaviour(1 - doubles, 'compute');
    for (let i = 0; i < 30; i++) await expectRightShares(harness, i);
  });

  test('refuses a step while another is under way, and one that is too large', async () => {
    const harness = await open();
    harness.setBehaviour(0, 'slow');
    const first = expectRightShares(harness, 5);
    await expectFailure(harness, LinkBusyError, SLACK_MS);
    await first;
    const tooLarge = makeStep(3);
    tooLarge.rows = SHAPE.maxRows + 1;
    await expect(run(harness, tooLarge)).rejects.toThrow(StepTooLargeError);
    expect(harness.relay.statistics.layerSteps).toBe(1);
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

  test.each(RELAY_CONNECTION_NAMES)('works again after the %s connections were killed', async (name) => {
    const harness = await open();
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

describe('an exchange with a relay', () => {
  /** Goes through the relay and notes what it is told. */
  class NotingPolicy implements RegimePolicy {
    readonly records = [];
    readonly noted: { regime: Regime; bytes: number; tookUs: number }[] = [];
    choose(): Regime {
      return 'relay';
    }
    record(regime: Regime, bytes: number, tookUs: number): void {
      this.noted.push({ regime, bytes, tookUs });
    }
  }

  function openExchange(harness: RelayHarness, policy: RegimePolicy): PooledExchange {
    const exchange = harness.openExchange(policy);
    onTestFinished(() => exchange.close());
    return exchange;
  }

  async function expectRightOutput(exchange: PooledExchange, seed = 7): Promise<void> {
    const { rows, layer, hidden, expertIds, gateWeights } = makeStep(seed);
    exchange.step.hidden.set(hidden);
    exchange.step.expertIds.set(expertIds);
    exchange.step.gateWeights.set(gateWeights);
    const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN);
    await exchange.run(layer, rows, output);
    const reference = referenceOutput(exchange.step, SHAPE);
    // Shares are rounded before they are added.
    for (const [i, value] of reference.entries()) expect(output[i]).toBeCloseTo(value, 4);
  }

  const direct = (exchange: PooledExchange): number =>
    exchange.statistics.reduce((sum, way) => sum + (way.kind === 'relay' ? 0 : way.layerSteps), 0);

  test('adds the shares of all hosts, and tells its policy how long each step took', async () => {
    const harness = await open({ instances: [1, 1, 1] });
    const policy = new NotingPolicy();
    const exchange = openExchange(harness, policy);
    harness.setBehaviour(2, 'slow');
    for (let seed = 3; seed < 8; seed++) await expectRightOutput(exchange, seed);
    expect(direct(exchange)).toBe(0);
    expect(exchange.statistics.at(-1)).toMatchObject({
      host: 'all',
      kind: 'relay',
      layerSteps: 5,
      messages: 10,
    });
    expect(policy.noted).toHaveLength(5);
    for (const [i, { regime, bytes, tookUs }] of policy.noted.entries()) {
      expect(regime).toBe('relay');
      expect(bytes).toBe(dispatchBytes(3 + i, SHAPE));
      expect(tookUs).toBeGreaterThan(900 * SLOW_MS);
    }
  });

  test.each([
    ['frame', ({ hosts }: RelayHarness) => dispatchListKey(MODEL, hosts[0]!)],
    ['message', joinedList],
  ])('sends a step directly whose %s was lost, and holds the time against the relay', async (_, list) => {
    const harness = await open();
    const policy = new NotingPolicy();
    const exchange = openExchange(harness, policy);
    await expectRightOutput(exchange, 6);
    expect(direct(exchange)).toBe(0);
    await steal(harness, list(harness));
    await expectRightOutput(exchange, 7);
    expect(direct(exchange)).toBe(2);
    expect(policy.noted[1]).toMatchObject({ regime: 'relay' });
    expect(policy.noted[1]!.tookUs).toBeGreaterThan(900 * RELAY_BOUND_MS);
    await expectRightOutput(exchange, 8);
    expect(direct(exchange)).toBe(2);
  });

  test.each<[string, Partial<RelayHarnessOptions>, new (...args: never[]) => Error]>([
    ['refused because of its placement', { versions: { 1: PLACEMENT_VERSION + 1 } }, StalePlacementError],
    ['failed at', {}, ExpertFailedError],
  ])('does not send a step directly that a host %s', async (_, options, failure) => {
    const harness = await open(options);
    const policy = new NotingPolicy();
    const exchange = openExchange(harness, policy);
    harness.setBehaviour(1, 'fail');
    const sends = vi.spyOn(harness.sender, 'rpush');
    await expect(expectRightOutput(exchange)).rejects.toThrow(failure);
    expect(sends).not.toHaveBeenCalled();
    expect(policy.noted).toEqual([]);
  });

  test('tells that a host is lost when it is lost both ways', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new NotingPolicy());
    await harness.lose(1);
    await expect(expectRightOutput(exchange)).rejects.toThrow(PeerLostError);
  });

  test('survives it when the connections are killed again and again', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new NotingPolicy());
    let running = true;
    const killer = (async () => {
      for (let i = 0; running; i++) {
        await harness.killConnections(RELAY_CONNECTION_NAMES[i % RELAY_CONNECTION_NAMES.length]!);
        await sleep(150);
      }
    })();
    for (let i = 0; i < 25; i++) {
      await expectRightOutput(exchange, i);
      await sleep(10);
    }
    running = false;
    await killer;
  });

  test('goes both ways when it is to find out which is faster', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new RegimeChooser({ direct: 2, relay: 1 }));
    for (let seed = 1; seed < 40; seed++) await expectRightOutput(exchange, seed);
    const [first, , relay] = exchange.statistics;
    expect(relay!.layerSteps).toBeGreaterThanOrEqual(4);
    expect(first!.layerSteps).toBeGreaterThanOrEqual(4);
  });

  test('ends the step under way when it is closed', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new NotingPolicy());
    harness.setBehaviour(1, 'silent');
    const failure = expect(expectRightOutput(exchange)).rejects.toThrow(LinkClosedError);
    await sleep(50);
    await exchange.close();
    await failure;
  });
});
