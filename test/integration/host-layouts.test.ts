import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFailed, vi } from 'vitest';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { HEARTBEAT_INTERVAL_MS } from '../../shared/protocol/member.ts';
import { TestClient } from '../support/generate.ts';
import { GOLDEN_BATCH } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, type HostProcess, spawnHost } from '../support/test-host.ts';

/** Expert hosts, each a process of its own. */
interface ExpertHosts {
  readonly hosts: number;
  readonly instances: number;
  readonly gate?: string;
  /** A name of its own for each host, so that attention hosts reach it by TCP. */
  readonly apart?: true;
}

/** Attention hosts, each a process of its own, and how they reach the experts. */
interface AttentionHosts {
  readonly hosts: number;
  readonly instances: number;
  readonly exchange: string;
}

const ONE_OF_TWO = { hosts: 1, instances: 2 } as const;

/** What attention hosts do, one after another, with the same expert hosts. */
const POOLS: readonly [string, ExpertHosts, readonly [string, AttentionHosts][]][] = [
  [
    'two hosts of one expert instance',
    { hosts: 2, instances: 1 },
    [
      ['Redis lists', { hosts: 1, instances: 1, exchange: 'redis' }],
      ['whichever regime is cheaper, several attention hosts', { hosts: 2, instances: 2, exchange: 'auto' }],
    ],
  ],
  [
    'two hosts of two expert instances',
    { hosts: 2, instances: 2 },
    [
      ['Unix sockets, instances stepping together', { ...ONE_OF_TWO, exchange: 'direct' }],
      ['the relay', { ...ONE_OF_TWO, exchange: 'relay' }],
      ['one phase', { ...ONE_OF_TWO, exchange: 'one-phase' }],
    ],
  ],
  [
    'two hosts of two expert instances, on nodes of their own, which gate',
    { hosts: 2, instances: 2, apart: true, gate: 'experts' },
    [
      ['TCP sockets', { ...ONE_OF_TWO, exchange: 'socket' }],
      ['the relay', { ...ONE_OF_TWO, exchange: 'relay' }],
    ],
  ],
];

const common = (redisUrl: string, { gate = 'attention' }: ExpertHosts): string[] => [
  '--redis',
  redisUrl,
  '--model',
  DICTIONARY_FOLDER,
  '--gate',
  gate,
];

function startExperts(redisUrl: string, experts: ExpertHosts): HostProcess[] {
  return Array.from({ length: experts.hosts }, (_, host) => {
    const node = experts.apart ? ['--node', `node-${host}`] : [];
    const own = ['--role', 'experts', '--experts', `${experts.instances}`];
    return spawnHost([...own, ...node, ...common(redisUrl, experts)]);
  });
}

function startAttention(redisUrl: string, experts: ExpertHosts, attention: AttentionHosts): HostProcess[] {
  return Array.from({ length: attention.hosts }, () => {
    const own = ['--role', 'attention', '--attention', `${attention.instances}`, '--token-budget', '64'];
    const pool = ['--expert-instances', `${experts.hosts * experts.instances}`];
    return spawnHost([...own, ...pool, '--exchange', attention.exchange, ...common(redisUrl, experts)]);
  });
}

/**
 * That the steps went the way that the attention hosts were asked for, and how many messages they took per layer step and
 * direction, as counted where they are sent and received: one per expert host directly, one in all through the relay.
 */
async function expectTraffic(
  client: TestClient,
  { exchange }: AttentionHosts,
  experts: ExpertHosts,
): Promise<void> {
  const endedAtMs = Date.now();
  const traffic = await vi.waitFor(
    async () => {
      const members = await readMembers(client.redis, DICTIONARY_MODEL);
      const attention = members.filter((member) => member.role === 'attention');
      for (const { heartbeatAtMs } of attention) expect(heartbeatAtMs).toBeGreaterThan(endedAtMs);
      return attention.flatMap((member) => member.traffic);
    },
    { timeout: 5 * HEARTBEAT_INTERVAL_MS, interval: 20 },
  );
  const used = traffic.filter((way) => way.layerSteps > 0);
  const kinds = new Set(used.map((way) => way.kind));
  if (exchange === 'relay') expect(kinds).toContain('relay');
  else if (exchange === 'redis') expect([...kinds]).toEqual(['redis']);
  else expect(kinds).toContain('socket');
  for (const way of used) {
    const perStep = way.kind === 'relay' || exchange !== 'one-phase' ? 1 : experts.instances;
    expect(way.messagesSent / way.layerSteps).toBeGreaterThanOrEqual(1);
    expect(way.messagesSent / way.layerSteps).toBeLessThan(perStep + 0.01);
    expect(way.messagesReceived).toBe(way.layerSteps);
  }
}

const redis = useRedis();
let client: TestClient;
beforeAll(() => {
  client = new TestClient(redis.url);
});
afterAll(() => client.close());

describe.each(POOLS)('%s', (_pool, experts, layouts) => {
  let expertHosts: readonly HostProcess[] = [];
  let attentionHosts: readonly HostProcess[] = [];
  beforeAll(() => {
    expertHosts = startExperts(redis.url, experts);
  });
  afterEach(() => Promise.all(attentionHosts.map((host) => host.stop())));
  afterAll(() => Promise.all(expertHosts.map((host) => host.stop())));

  it.each(layouts)(
    'generate the reference token ids with attention hosts over %s',
    async (_name, attention) => {
      attentionHosts = startAttention(redis.url, experts, attention);
      const started = [...expertHosts, ...attentionHosts];
      onTestFailed(() => console.error(started.map((host) => host.output()).join('\n—\n')));
      const answering = Promise.all(
        GOLDEN_BATCH.map((known) => client.generate({ prompt: { kind: 'tokens', ids: known.prompt_ids } })),
      );
      const answers = await Promise.race([answering, ...started.map((host) => host.failed)]);
      expect(answers.map((answer) => answer.ids)).toEqual(GOLDEN_BATCH.map((known) => known.generated_ids));
      await expectTraffic(client, attention, experts);
    },
  );
});
