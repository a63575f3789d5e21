import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { allocateStep } from '../../gpu-pool/exchange/exchange.ts';
import {
  AnswerOverdueError,
  emptyStatistics,
  LinkClosedError,
  PeerLostError,
} from '../../gpu-pool/exchange/link.ts';
import { RedisEndpoint } from '../../gpu-pool/exchange/redis-endpoint.ts';
import { RedisAnswers, RedisLink } from '../../gpu-pool/exchange/redis-link.ts';
import { StepServer } from '../../gpu-pool/exchange/step-server.ts';
import {
  dispatchBytes,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  readHeader,
  readText,
  writeHeader,
} from '../../shared/protocol/frame.ts';
import { answerListKey, dispatchListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import {
  EXPERTS,
  fillStep,
  type HarnessOptions,
  HOST,
  MODEL,
  PLACEMENT_VERSION,
  referenceOutput,
  SHAPE,
} from '../support/exchange/link-harness.ts';
import { CONNECTION_NAMES, type RedisHarness, startRedisHarness } from '../support/exchange/redis-harness.ts';
import { useRedis } from '../support/redis.ts';

/** What only a link through Redis can meet: broken connections, lost frames, frames from anybody, and Redis away. */
const redis = useRedis();
const GENEROUS_MS = 15_000;
const dispatchKey = dispatchListKey(MODEL, HOST);

const start = (options: Partial<HarnessOptions> = {}): Promise<RedisHarness> =>
  startRedisHarness(redis.url, { instances: 2, overdueAfterMs: GENEROUS_MS, ...options });

/** A harness of the test's own, which it may leave broken. */
async function open(options: Partial<HarnessOptions> = {}): Promise<RedisHarness> {
  const harness = await start(options);
  onTestFinished(() => harness.close());
  return harness;
}

describe('a link that is used again and again', () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await start();
  });
  afterAll(() => harness.close());

  test('a step whose answer was lost on its way is sent again', async () => {
    const { layerSteps, messages } = harness.link.statistics;
    // This client waits first, so Redis gives the answer to it.
    const thief = new Redis(redis.url);
    onTestFinished(() => thief.disconnect());
    const stolen = thief.blpopBuffer(answerListKey(MODEL, harness.attention), 0);
    await sleep(50);
    await expectRightAnswer(harness);
    expect((await stolen)?.[1]).toBeDefined();
    expect(harness.link.statistics).toMatchObject({
      layerSteps: layerSteps + 1,
      messages: messages + 3,
    });
  });

  test('frames of another protocol do not stop an expert host', async () => {
    const garbage = [
      Buffer.alloc(0),
      Buffer.from('JNX1'),
      Buffer.alloc(FRAME_HEADER_BYTES),
      Buffer.alloc(5_000, 0xff),
      dispatchFrame({ attention: '' }),
    ];
    for (let i = 0; i < 100; i++) await harness.redis.rpush(dispatchKey, garbage[i % garbage.length]!);
    const startedAtMs = performance.now();
    await expectRightAnswer(harness);
    expect(performance.now() - startedAtMs).toBeLessThan(500);
  });

  test.each<[string, Partial<FrameHeader>, RegExp]>([
    ['is of another model', { hiddenSize: 4_096 }, /hidden size 4096 .* must load the same model/],
    ['takes another number of experts', { expertsPerToken: 2 }, /top-2/],
    [
      'has more rows than the host takes',
      { rows: 0xffff_ffff },
      /4294967295 rows is over the limit of 12 rows/,
    ],
    ['is not as long as its rows', { rows: 2 }, /2 rows has \d+ bytes, expected \d+/],
    ['is no layer step', { kind: FrameKind.lost, rows: 0 }, /kind 5/],
    ['is of no known kind', { kind: 99 as FrameKind }, /unknown kind 99/],
  ])('a frame that %s is answered with the reason', async (_, header, reason) => {
    const { redis } = harness;
    await redis.rpush(dispatchKey, dispatchFrame(header));
    const [, frame] = (await redis.blpopBuffer(answerListKey(MODEL, 'stranger'), 5))!;
    expect(frame.readUInt16LE(4)).toBe(FrameKind.failed);
    expect(frame.readUInt32LE(8)).toBe(4_242);
    expect(readText(frame)).toMatch(reason);
  });

  test('answers that nobody waits for, and frames that are no answers, are dropped and counted', async () => {
    const { dropped } = harness.answers;
    const key = answerListKey(MODEL, harness.attention);
    const unknown = dispatchFrame({ kind: FrameKind.failed, sequence: 1 });
    for (const frame of [Buffer.from('?'), unknown, dispatchFrame({})]) await harness.redis.rpush(key, frame);
    await expectRightAnswer(harness);
    expect(harness.answers.dropped - dropped).toBe(3);
  });

  test.each(CONNECTION_NAMES)(
    'steps survive it when the %s connections are killed again and again',
    async (name) => {
      let kills = 0;
      let running = true;
      const killer = (async () => {
        while (running) {
          kills += await killConnections(harness.redis, name);
          await sleep(70);
        }
      })();
      try {
        for (let i = 0; i < 60; i++) {
          await expectRightAnswer(harness, i);
          await sleep(5);
        }
      } finally {
        running = false;
        await killer;
      }
      expect(kills).toBeGreaterThan(3);
    },
  );
});

test('a step that still waits at its host is not sent again', async () => {
  const harness = await open();
  const other = { link: otherLink(harness) };
  await expectRightAnswer(other);
  harness.setBehaviour('silent');
  // Another sender's step keeps the host busy, so this link's step stays in the list.
  const busy = expectRightAnswer(other);
  await sleep(50);
  const answer = expectRightAnswer(harness);
  await sleep(1_500);
  const waiting = await harness.redis.lrangeBuffer(dispatchKey, 0, -1);
  const senders = waiting.map((frame) => readHeader(frame, SHAPE).attention);
  expect(senders.filter((attention) => attention === harness.attention)).toHaveLength(1);
  harness.setBehaviour('compute');
  await Promise.all([busy, answer]);
  expect(harness.link.statistics).toMatchObject({ layerSteps: 1, messages: 2 });
});

test('a step that is given up does not stay in the list', async () => {
  const harness = await open({ overdueAfterMs: 600 });
  harness.setBehaviour('silent');
  await expect(expectRightAnswer(harness)).rejects.toThrow(AnswerOverdueError);
  for (let i = 0; i < 3; i++) await expect(expectRightAnswer(harness)).rejects.toThrow(AnswerOverdueError);
  expect(await harness.waitingSteps()).toBe(0);
  await harness.losePeer(0);
  await expect(expectRightAnswer(harness)).rejects.toThrow();
  await sleep(20);
  expect(await harness.waitingSteps()).toBe(0);
});

test('a Redis that does not answer ends a step within its bound, and the link goes on when it is back', async () => {
  const harness = await open({ overdueAfterMs: 600 });
  await expectRightAnswer(harness);
  await harness.redis.call('CLIENT', 'PAUSE', '2500', 'ALL');
  for (let i = 0; i < 2; i++) {
    const startedAtMs = performance.now();
    await expect(expectRightAnswer(harness, i)).rejects.toThrow(/Redis did not answer/);
    expect(performance.now() - startedAtMs).toBeLessThan(1_500);
  }
  await harness.redis.ping();
  // The heartbeat has run out during the pause; it is renewed at once.
  await sleep(200);
  for (let i = 0; i < 10; i++) await expectRightAnswer(harness, i);
  expect(await harness.waitingSteps()).toBe(0);
});

test('a connection that ends for good loses the peer', async () => {
  const { attention, answers } = await open();
  const sender = new Redis(redis.url);
  sender.disconnect();
  const link = new RedisLink({
    host: HOST,
    model: MODEL,
    attention,
    shape: SHAPE,
    sender,
    answers,
    overdueAfterMs: GENEROUS_MS,
  });
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await expect(link.exchange(fillingStep(1), output)).rejects.toThrow(PeerLostError);
});

test('an answer to a former life of the same attention instance is not taken for one to this life', async () => {
  const harness = await open();
  const key = answerListKey(MODEL, harness.attention);
  const thief = new Redis(redis.url);
  onTestFinished(() => thief.disconnect());
  const stolen = thief.blpopBuffer(key, 0);
  await sleep(50);
  await expectRightAnswer(harness);
  const [, answer] = (await stolen)!;
  expect(readHeader(answer, SHAPE).kind).toBe(FrameKind.answer);
  const again = otherLink(harness, harness.attention);
  await harness.redis.rpush(key, answer);
  await expectRightAnswer({ link: again }, 3);
});

test('closing ends a step and does not hang while Redis cannot be reached', async () => {
  const nowhere = () => {
    // Nothing listens on port 1, so the connections are forever between two attempts.
    const connection = new Redis({ port: 1, maxRetriesPerRequest: null, retryStrategy: () => 100_000 });
    connection.on('error', () => {});
    return connection;
  };
  const sender = nowhere();
  const answers = new RedisAnswers(nowhere(), MODEL, 'lonely', SHAPE);
  const endpoint = openEndpoint(nowhere(), sender);
  const options = { host: HOST, model: MODEL, attention: 'lonely', shape: SHAPE, sender, answers };
  const link = new RedisLink({ ...options, overdueAfterMs: GENEROUS_MS });
  const failure = expect(expectRightAnswer({ link })).rejects.toThrow(LinkClosedError);
  await sleep(100);
  const startedAtMs = performance.now();
  await link.close();
  await failure;
  await answers.close();
  await endpoint.close();
  sender.disconnect();
  expect(performance.now() - startedAtMs).toBeLessThan(1_000);
});

test('an expert host answers the step under way while it closes, and unread answers disappear in time', async () => {
  const connections = [new Redis(redis.url), new Redis(redis.url), new Redis(redis.url)] as const;
  onTestFinished(() => {
    for (const connection of connections) connection.disconnect();
  });
  const [receiver, sender, client] = connections;
  await client.flushall();
  const started = Promise.withResolvers<void>();
  const computed = Promise.withResolvers<void>();
  const endpoint = openEndpoint(receiver, sender, () => {
    started.resolve();
    return computed.promise;
  });
  await client.rpush(dispatchKey, dispatchFrame({}));
  await started.promise;
  const closed = endpoint.close();
  computed.resolve();
  await closed;
  const list = answerListKey(MODEL, 'stranger');
  expect(await client.llen(list)).toBe(1);
  expect(await client.ttl(list)).toBeGreaterThan(0);
  expect(await client.ttl(list)).toBeLessThanOrEqual(60);
});

/** An endpoint on this thread whose instances do what `exchange` says. */
function openEndpoint(
  receiver: Redis,
  sender: Redis,
  exchange: () => Promise<void> = async () => {},
): RedisEndpoint {
  const lane = allocateStep(SHAPE);
  const statistics = emptyStatistics();
  const instances = {
    host: HOST,
    kind: 'shared-memory',
    lane,
    statistics,
    aMax: 0,
    exchange,
    close: async () => {},
  } as const;
  const placementVersion = PLACEMENT_VERSION;
  const server = new StepServer({
    host: HOST,
    hostIndex: 0,
    shape: SHAPE,
    instances: [instances],
    placementVersion,
  });
  return new RedisEndpoint({ host: HOST, model: MODEL, hostIndex: 0, server, receiver, sender });
}

/** A second link to the same host, as of another attention instance or of the same one after a restart. */
function otherLink(harness: RedisHarness, attention = 'another'): RedisLink {
  const connections = [new Redis(redis.url), new Redis(redis.url)] as const;
  const answers = new RedisAnswers(connections[1], MODEL, attention, SHAPE);
  onTestFinished(async () => {
    await answers.close();
    connections[0].disconnect();
  });
  return new RedisLink({
    host: harness.link.host,
    model: MODEL,
    attention,
    shape: SHAPE,
    sender: connections[0],
    answers,
    overdueAfterMs: GENEROUS_MS,
  });
}

async function killConnections(redis: Redis, name: string): Promise<number> {
  const clients = String(await redis.client('LIST')).split('\n');
  const ids = clients
    .filter((client) => client.includes(` name=${name} `))
    .map((client) => /id=(\d+)/.exec(client)![1]!);
  const killed = await Promise.all(ids.map((id) => redis.client('KILL', 'ID', id)));
  return killed.reduce((sum: number, count) => sum + Number(count), 0);
}

function dispatchFrame(header: Partial<FrameHeader>): Buffer {
  const frame = Buffer.alloc(dispatchBytes(1, SHAPE));
  writeHeader(frame, {
    kind: FrameKind.dispatch,
    sequence: 4_242,
    layer: 0,
    attempt: 0,
    placementVersion: PLACEMENT_VERSION,
    rows: 1,
    hiddenSize: SHAPE.hiddenSize,
    expertsPerToken: SHAPE.expertsPerToken,
    attention: 'stranger',
    combineUs: 0,
    only: -1,
    gather: 0,
    hostIndex: 0,
    aMax: 0,
    ...header,
  });
  return frame;
}

function fillingStep(seed: number): LayerStep {
  const step = allocateStep(SHAPE);
  let state = seed + 1;
  const random = () => {
    state = (state * 48_271) % 0x7fff_ffff;
    return state / 0x7fff_ffff;
  };
  fillStep(step, SHAPE, EXPERTS, 1 + (seed % SHAPE.maxRows), random);
  step.placementVersion = PLACEMENT_VERSION;
  return step;
}

async function expectRightAnswer({ link }: Pick<RedisHarness, 'link'>, seed = 7): Promise<void> {
  const step = fillingStep(seed);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN);
  await link.exchange(step, output);
  expect(output.subarray(0, step.rows * SHAPE.hiddenSize)).toEqual(referenceOutput(step, SHAPE));
}
