import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startLocalRedis } from '../../../infra/redis/local-redis.ts';
import { INSPECTED, INSPECTOR_URL, Inspector } from '../memory/inspector.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { percentile } from '../results.ts';
import { CliProcess } from '../systems/cli-process.ts';
import { spawnOwned } from '../systems/pinned.ts';
import { type Client, openStreams } from './clients.ts';
import type { Pace } from './pace.ts';

const FULL = { streams: 1_500, seconds: 30, stallSeconds: 20 };
const QUICK = { streams: 200, seconds: 5, stallSeconds: 5 };
/** The gateway has one core for itself; source, clients and Redis share the other. */
const GATEWAYS_PROCESSOR = '0';
const OTHERS_PROCESSOR = '1';
const START_LIMIT_MS = 30_000;
const LISTENING = /(http:\/\/\S+?)(?:\/v1)?\s/;
/** A brisk reading speed; a stream's share of what a busy pool generates. */
const STEADY: Pace = { tokens: 100_000, everyMs: 200, textLength: 24 };
/** Started, then silent for as long as anything here takes. */
const IDLE: Pace = { tokens: 1, everyMs: 1e9, textLength: 24 };
/** Faster than any client reads, so that what the system's sockets take is full within seconds. */
const FLOOD: Pace = { tokens: 100_000, everyMs: 10, textLength: 16_384 };
const WARM_STREAMS = 200;
const WARM_MS = 2_000;
const SETTLE_MS = 3_000;
const STALLED = 10;
const MIB = 2 ** 20;

/** What a gateway process bears: nothing but it is measured, since tokens come from a source of fixed rate. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { streams, seconds, stallSeconds } = quick ? QUICK : FULL;
  const watch = new LoadWatch();
  await using parts = new AsyncDisposableStack();
  const redis = await startLocalRedis();
  parts.defer(() => redis.stop());
  await startSource(redis.url, parts);
  const gateway = CliProcess.start(['gateway', '--redis', redis.url, '--port', '0', '--drain-notice', '0'], {
    processors: GATEWAYS_PROCESSOR,
    nodeFlags: [INSPECTED],
  });
  parts.defer(() => gateway.stop());
  const [, url] = await gateway.waitFor(LISTENING, START_LIMIT_MS);
  const [, address] = await gateway.waitFor(INSPECTOR_URL, START_LIMIT_MS);
  const inspector = await Inspector.connect(address!);
  parts.defer(() => inspector.close());
  const memory = () => inspector.memoryAfterCollection();

  await hangUp(await openStreams(url!, STEADY, Math.min(WARM_STREAMS, streams)), WARM_MS);
  const empty = await memory();
  const idle = await openStreams(url!, IDLE, streams);
  await sleep(SETTLE_MS);
  const full = await memory();
  const perStream = (bytes: (of: NodeJS.MemoryUsage) => number) =>
    (bytes(full) - bytes(empty)) / streams / 1_024;
  const idleHeldKib = perStream(({ heapUsed, external }) => heapUsed + external);
  const idleResidentKib = perStream(({ rss }) => rss);
  await hangUp(idle, 0);
  console.error('idle streams measured');

  const latency = await measureLatency(url!, gateway.processId, streams, seconds);
  console.error('steady streams measured');
  const stalled = await measureStalled(url!, memory, stallSeconds);
  return {
    cases: [{ streams, ...latency, idleHeldKib, idleResidentKib, ...stalled }],
    wanted: { streams: 1_500, latencyP99Ms: '≤ 20', idleHeldKib: '≤ 40', stalledLaterMib: 'about 0' },
    tokensPerSecondAndStream: 1_000 / STEADY.everyMs,
    machineLoad: watch.result(),
  };
}

async function startSource(redisUrl: string, parts: AsyncDisposableStack): Promise<void> {
  const program = fileURLToPath(new URL('./token-source.ts', import.meta.url));
  const source = spawnOwned(process.execPath, [program, redisUrl], OTHERS_PROCESSOR, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  parts.defer(async () => {
    source.kill();
    if (source.exitCode === null && source.signalCode === null) await once(source, 'exit');
  });
  await once(source.stdout!, 'data');
}

async function hangUp(clients: readonly Client[], afterMs: number): Promise<void> {
  await sleep(afterMs);
  for (const client of clients) client.hangUp();
  await Promise.all(clients.map(({ ended }) => ended));
  await sleep(SETTLE_MS);
}

/** Time from when a token was made until its client has it, over all streams, once all are open. */
async function measureLatency(url: string, processId: number, streams: number, seconds: number) {
  const clients = await openStreams(url, STEADY, streams);
  await sleep(WARM_MS);
  const fromMs = performance.timeOrigin + performance.now();
  const loopBefore = performance.eventLoopUtilization();
  const cpuBefore = cpuMs(processId);
  await sleep(seconds * 1_000);
  const cpuShare = (cpuMs(processId) - cpuBefore) / (seconds * 1_000);
  const clientsBusy = performance.eventLoopUtilization(loopBefore).utilization;
  const latencies: number[] = [];
  for (const { times } of clients) {
    for (let i = 0; i < times.length; i += 2) {
      if (times[i]! >= fromMs) latencies.push(times[i + 1]! - times[i]!);
    }
  }
  await hangUp(clients, 0);
  return {
    tokensPerSecond: latencies.length / seconds,
    latencyP50Ms: percentile(latencies, 0.5),
    latencyP99Ms: percentile(latencies, 0.99),
    latencyMostMs: latencies.reduce((most, each) => Math.max(most, each), 0),
    gatewayCpuShare: cpuShare,
    clientsBusy,
  };
}

/** What the gateway holds for clients that take nothing while their answers go on: first, and how much more later. */
async function measureStalled(url: string, memory: () => Promise<NodeJS.MemoryUsage>, seconds: number) {
  const held = async () => {
    const { heapUsed, external } = await memory();
    return (heapUsed + external) / MIB;
  };
  const before = await held();
  const clients = await openStreams(url, FLOOD, STALLED);
  for (const client of clients) client.stall();
  await sleep((seconds * 1_000) / 2);
  const halfWay = await held();
  await sleep((seconds * 1_000) / 2);
  const stalledLaterMib = (await held()) - halfWay;
  await hangUp(clients, 0);
  const floodMib = (STALLED * seconds * 1_000 * FLOOD.textLength) / FLOOD.everyMs / MIB;
  return { stalledStreams: STALLED, stalledMib: halfWay - before, stalledLaterMib, floodMib };
}

/** Processor time of a process so far, in ms. */
function cpuMs(processId: number): number {
  const fields = readFileSync(`/proc/${processId}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
