import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { allocateStep } from '../../gpu-pool/exchange/exchange.ts';
import { allocateSharedExchange, openHostMemory, openLane } from '../../gpu-pool/exchange/lane-memory.ts';
import type { ExpertLink } from '../../gpu-pool/exchange/link.ts';
import { RedisAnswers, RedisLink } from '../../gpu-pool/exchange/redis-link.ts';
import { SharedMemoryLink } from '../../gpu-pool/exchange/shared-memory-link.ts';
import { startLocalRedis } from '../../infra/redis/local-redis.ts';
import { staticPlacement } from '../../shared/placement/placement.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { InstanceThreads } from '../support/exchange/instance-threads.ts';
import { fillStep } from '../support/exchange/link-harness.ts';
import type { PeerOptions } from '../support/exchange/peer.ts';
import { BehaviourSwitch } from '../support/exchange/test-expert.ts';

const HOST = 'peer';
const MODEL = 'bench';
const INSTANCES = 2;
const ROWS = [1, 16, 128];
/** The shipped model's sizes, and those of a model of some billion parameters. */
const SIZES = [
  { hiddenSize: 192, expertsPerToken: 4, experts: 32 },
  { hiddenSize: 1024, expertsPerToken: 8, experts: 64 },
];
/** Round trips before the timed ones, enough for the optimising compiler to be done. */
const WARM_UP = 500;
const OVERDUE_AFTER_MS = 10_000;

type Size = (typeof SIZES)[number];

interface ExchangeCase {
  readonly link: string;
  readonly rows: number;
  readonly hiddenSize: number;
  readonly topK: number;
  /** From the step in its memory to every instance having answered and the output on the sender's side, without combine. */
  readonly transportP50Us: number;
  readonly transportP99Us: number;
  /** The weighted sum of the k expert outputs of each row: arithmetic of the MoE layer, wherever it runs. */
  readonly combineP50Us: number;
  /** Both together, as the attention instance waits for them. */
  readonly roundTripP50Us: number;
  readonly roundTripP99Us: number;
  readonly messages: number;
  readonly bytes: number;
}

/** A link to a peer of two expert instances that compute nothing. */
interface OpenLink {
  readonly link: ExpertLink;
  readonly step: LayerStep;
  close(): Promise<void>;
}

/** Times round trips of one layer step after the other, on both links; for Redis the peer is a process of its own. */
export async function run(options: { quick: boolean }): Promise<Record<string, unknown>> {
  const roundTrips = options.quick ? 200 : 3_000;
  const redis = await startLocalRedis();
  const links: [string, (size: Size) => Promise<OpenLink>][] = [
    ['shared memory', openSharedMemory],
    ['Redis, Unix socket', (size) => openRedis(redis.socketPath, size)],
    ['Redis, TCP', (size) => openRedis(redis.url, size)],
  ];
  const cases: ExchangeCase[] = [];
  try {
    for (const [name, open] of links) {
      for (const size of SIZES) {
        const opened = await open(size);
        for (const rows of ROWS) cases.push(await time(name, opened, size, rows, roundTrips));
        await opened.close();
      }
    }
  } finally {
    await redis.stop();
  }
  return { cases, expertInstances: INSTANCES, roundTrips };
}

async function time(
  name: string,
  { link, step }: OpenLink,
  size: Size,
  rows: number,
  roundTrips: number,
): Promise<ExchangeCase> {
  const shape = shapeOf(size);
  fillStep(step, shape, size.experts, rows, Math.random);
  step.layer = 0;
  step.placementVersion = 1;
  const output = new Float32Array(shape.maxRows * shape.hiddenSize);
  for (let i = 0; i < WARM_UP; i++) await link.exchange(step, output);
  const total = new Float64Array(roundTrips);
  const combine = new Float64Array(roundTrips);
  const before = { ...link.statistics };
  let combinedUs = before.totalCombineUs;
  for (let i = 0; i < roundTrips; i++) {
    const startedMs = performance.now();
    await link.exchange(step, output);
    total[i] = (performance.now() - startedMs) * 1_000;
    combine[i] = link.statistics.totalCombineUs - combinedUs;
    combinedUs = link.statistics.totalCombineUs;
  }
  const transport = total.map((us, i) => us - combine[i]!);
  return {
    link: name,
    rows,
    hiddenSize: size.hiddenSize,
    topK: size.expertsPerToken,
    transportP50Us: quantile(transport, 0.5),
    transportP99Us: quantile(transport, 0.99),
    combineP50Us: quantile(combine, 0.5),
    roundTripP50Us: quantile(total, 0.5),
    roundTripP99Us: quantile(total, 0.99),
    messages: Math.round((link.statistics.messages - before.messages) / roundTrips),
    bytes: Math.round((link.statistics.bytes - before.bytes) / roundTrips),
  };
}

function quantile(values: Float64Array, share: number): number {
  return Math.round(values.toSorted()[Math.floor(values.length * share)]! * 10) / 10;
}

const shapeOf = ({ hiddenSize, expertsPerToken }: Size): LayerStepShape => ({
  maxRows: Math.max(...ROWS),
  hiddenSize,
  expertsPerToken,
});

const placementOf = ({ experts }: Size): Placement =>
  staticPlacement({
    version: 1,
    model: MODEL,
    layers: 1,
    experts,
    capacity: experts / INSTANCES,
    instances: Array.from({ length: INSTANCES }, (_, id) => ({ id, host: HOST })),
  });

/** As in a host with both roles: the sender blocks, the instances are threads of the same process. */
async function openSharedMemory(size: Size): Promise<OpenLink> {
  const laneOptions = {
    shape: shapeOf(size),
    instances: INSTANCES,
    placedInstances: INSTANCES,
    experts: size.experts,
  };
  const shared = allocateSharedExchange(HOST, 0, laneOptions, 1);
  const lane = openLane(shared, 0);
  // Memory that was never written is slower to read; real experts write it.
  lane.outputs.fill(0.5);
  const behaviour = BehaviourSwitch.allocate();
  new BehaviourSwitch(behaviour).set('idle');
  const threads = await InstanceThreads.start(shared, 1, behaviour);
  const link = new SharedMemoryLink({
    host: HOST,
    memory: openHostMemory(shared),
    lane,
    placement: placementOf(size),
    wait: 'block',
    overdueAfterMs: OVERDUE_AFTER_MS,
  });
  return { link, step: lane, close: () => threads.kill() };
}

/** As between hosts: the peer is a process, with an endpoint on its main thread. */
async function openRedis(address: string, size: Size): Promise<OpenLink> {
  const shape = shapeOf(size);
  const options: Omit<PeerOptions, 'behaviour'> = {
    redis: address,
    host: HOST,
    placement: placementOf(size),
    shape,
  };
  const peer = fork(new URL('./exchange-peer.ts', import.meta.url), [JSON.stringify(options)]);
  await once(peer, 'message');
  const sender = new Redis(address, { maxRetriesPerRequest: null });
  const attention = 'bench';
  const answers = new RedisAnswers(
    new Redis(address, { maxRetriesPerRequest: null }),
    MODEL,
    attention,
    shape,
  );
  const link = new RedisLink({
    host: HOST,
    model: MODEL,
    attention,
    shape,
    sender,
    answers,
    overdueAfterMs: OVERDUE_AFTER_MS,
  });
  const close = async () => {
    await answers.close();
    sender.disconnect();
    peer.kill();
    await once(peer, 'exit');
  };
  return { link, step: allocateStep(shape), close };
}
