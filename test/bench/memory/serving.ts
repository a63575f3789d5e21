import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { loadModelConfig } from '../../../gpu-pool/checkpoint/model-folder.ts';
import { startLocalRedis } from '../../../infra/redis/local-redis.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../../support/test-host.ts';
import { streamTokens } from '../peer/janus/http-load.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { slope } from '../rounds/statistics.ts';
import { CliProcess } from '../systems/cli-process.ts';
import { INSPECTED, INSPECTOR_URL, Inspector } from './inspector.ts';

const START_LIMIT_MS = 60_000;
const HOST_READY = /^ready: host/m;
const GATEWAY_READY = /^ready: (http\S+)\/v1/m;
/** Computed by the kernels, so that their memory and the team of threads are among what might leak. */
const HOST = ['host', '--role', 'both', '--model', DICTIONARY_MODEL, '--dtype', 'int4'];
const AT_ONCE = 16;
/** More than the prefix cache has room for: it is full after the first milestone, and evicts from then on. */
const PROMPTS = 1_000;
const PROMPT_TOKENS = 80;
const PREFIX_CACHE_MIB = 8;
const ANSWER_TOKENS = [8, 16, 24];
const HANG_UP_EVERY = 10;
const HANG_UP_AFTER = 2;
const PROMPT_SEED = 5;
/** For requests whose client has hung up to come to their end. */
const SETTLE_MS = 1_000;
const MIB = 2 ** 20;

/** What the processes hold after so many requests, in MiB. */
export interface ServingCase {
  readonly requests: number;
  readonly hostRss: number;
  readonly hostHeap: number;
  readonly hostExternal: number;
  readonly gatewayRss: number;
  readonly gatewayHeap: number;
  readonly gatewayExternal: number;
  readonly redis: number;
}

type Held = Omit<ServingCase, 'requests'>;

export interface Serving {
  readonly cases: readonly ServingCase[];
  /** Growth from the first of the cases on, by least squares. */
  readonly kibPerThousandRequests: Held;
  readonly hungUp: number;
}

interface Served {
  readonly url: string;
  readonly memory: () => Promise<Held>;
}

/**
 * Serves short requests of the shipped model, through a gateway and a host that are processes of their own.
 *
 * @param milestones numbers of requests after which memory is looked at; the first one warms up
 */
export async function measureServing(milestones: readonly number[]): Promise<Serving> {
  await using parts = new AsyncDisposableStack();
  const { url, memory } = await startServing(parts);
  const { vocabularySize } = loadModelConfig(DICTIONARY_FOLDER);
  const prompts = randomTokens(vocabularySize, PROMPTS, PROMPT_TOKENS, PROMPT_SEED);
  let sent = 0;
  let hungUp = 0;
  const client = async (until: number): Promise<void> => {
    while (sent < until) {
      const request = sent++;
      const hangsUp = request % HANG_UP_EVERY === 0;
      if (hangsUp) hungUp++;
      await streamTokens(url, DICTIONARY_MODEL, {
        prompt: prompts[request % PROMPTS]!,
        tokens: ANSWER_TOKENS[request % ANSWER_TOKENS.length]!,
        seed: request,
        ...(hangsUp && { hangUpAfter: HANG_UP_AFTER }),
      });
    }
  };
  const cases: ServingCase[] = [];
  for (const requests of milestones) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => client(requests)));
    await sleep(SETTLE_MS);
    cases.push({ requests, ...(await memory()) });
    console.error(`${requests} requests answered`);
  }
  return { cases, kibPerThousandRequests: growth(cases), hungUp };
}

async function startServing(parts: AsyncDisposableStack): Promise<Served> {
  const redis = await startLocalRedis();
  parts.defer(() => redis.stop());
  const inspected = async (args: readonly string[], ready: RegExp) => {
    const cli = CliProcess.start([...args, '--redis', redis.url], { nodeFlags: [INSPECTED] });
    parts.defer(() => cli.stop());
    const [, address] = await cli.waitFor(INSPECTOR_URL, START_LIMIT_MS);
    const inspector = await Inspector.connect(address!);
    parts.defer(() => inspector.close());
    return { inspector, ready: await cli.waitFor(ready, START_LIMIT_MS) };
  };
  const host = await inspected([...HOST, '--prefix-cache-mib', String(PREFIX_CACHE_MIB)], HOST_READY);
  const gateway = await inspected(['gateway', '--port', '0', '--drain-notice', '0'], GATEWAY_READY);
  const client = new Redis(redis.url);
  parts.defer(() => client.disconnect());
  return {
    url: gateway.ready[1]!,
    memory: async () => {
      const ofHost = await host.inspector.memoryAfterCollection();
      const ofGateway = await gateway.inspector.memoryAfterCollection();
      const [, redisBytes] = /^used_memory:(\d+)/m.exec(await client.info('memory'))!;
      return {
        hostRss: ofHost.rss / MIB,
        hostHeap: ofHost.heapUsed / MIB,
        hostExternal: ofHost.external / MIB,
        gatewayRss: ofGateway.rss / MIB,
        gatewayHeap: ofGateway.heapUsed / MIB,
        gatewayExternal: ofGateway.external / MIB,
        redis: Number(redisBytes) / MIB,
      };
    },
  };
}

function growth(cases: readonly ServingCase[]): Held {
  const requests = cases.map((each) => each.requests);
  const { requests: _, ...first } = cases[0]!;
  const names = Object.keys(first) as (keyof Held)[];
  const kib = (name: keyof Held): number =>
    slope(
      requests,
      cases.map((each) => each[name] * 1_024),
    ) * 1_000;
  return Object.fromEntries(names.map((name) => [name, Math.round(kib(name))])) as unknown as Held;
}
