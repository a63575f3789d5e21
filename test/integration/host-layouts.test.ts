import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, onTestFailed } from 'vitest';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { HEARTBEAT_INTERVAL_MS } from '../../shared/protocol/member.ts';
import { TestClient } from '../support/generate.ts';
import { DECIDED_GAP, GOLDEN_CASES } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, type HostProcess, spawnHost } from '../support/test-host.ts';

/** Enough prompts to fill a batch, all of them decided by more than rounding. */
const CASES = GOLDEN_CASES.filter((known) => known.smallest_gap > 10 * DECIDED_GAP).slice(0, 24);

const redis = useRedis();
const processes: HostProcess[] = [];

afterEach(async () => {
  await Promise.all(processes.splice(0).map((host) => host.stop()));
});

/** What all hosts of a layout have in common, and what each is started with. */
interface Layout {
  readonly attentionHosts: number;
  readonly attentionInstances: number;
  readonly expertHosts: number;
  readonly expertInstances: number;
  readonly exchange: string;
  readonly gate?: string;
  /** A name of its own for each expert host, so that attention hosts reach it by TCP. */
  readonly apart?: true;
}

function start(layout: Layout): void {
  const { attentionHosts, attentionInstances, expertHosts, expertInstances, gate = 'attention' } = layout;
  const common = ['--redis', redis.url, '--model', DICTIONARY_FOLDER, '--gate', gate];
  for (let host = 0; host < expertHosts; host++) {
    const node = layout.apart ? ['--node', `node-${host}`] : [];
    processes.push(spawnHost(['--role', 'experts', '--experts', `${expertInstances}`, ...node, ...common]));
  }
  const pool = ['--expert-instances', `${expertHosts * expertInstances}`, '--exchange', layout.exchange];
  for (let host = 0; host < attentionHosts; host++) {
    const own = ['--role', 'attention', '--attention', `${attentionInstances}`, '--token-budget', '64'];
    processes.push(spawnHost([...own, ...pool, ...common]));
  }
}

/**
 * That the steps went the way that the layout asks for, and how many messages they took per layer step and direction, as
 * counted where they are sent and received: one per expert host directly, one in all through the relay.
 */
async function expectTraffic(client: TestClient, layout: Layout): Promise<void> {
  await sleep(2 * HEARTBEAT_INTERVAL_MS);
  const members = await readMembers(client.redis, DICTIONARY_MODEL);
  const traffic = members.filter((member) => member.role === 'attention').flatMap((member) => member.traffic);
  const used = traffic.filter((way) => way.layerSteps > 0);
  const kinds = new Set(used.map((way) => way.kind));
  if (layout.exchange === 'relay') expect(kinds).toContain('relay');
  else if (layout.exchange === 'redis') expect([...kinds]).toEqual(['redis']);
  else expect(kinds).toContain('socket');
  for (const way of used) {
    const perStep = way.kind === 'relay' || layout.exchange !== 'one-phase' ? 1 : layout.expertInstances;
    expect(way.messagesSent / way.layerSteps).toBeGreaterThanOrEqual(1);
    expect(way.messagesSent / way.layerSteps).toBeLessThan(perStep + 0.01);
    expect(way.messagesReceived).toBe(way.layerSteps);
  }
}

const TWO_BY_TWO = { attentionHosts: 1, attentionInstances: 2, expertHosts: 2, expertInstances: 2 } as const;

describe('attention hosts and expert hosts, each a process of its own', () => {
  it.each<[string, Layout]>([
    [
      'Redis lists',
      { attentionHosts: 1, attentionInstances: 1, expertHosts: 2, expertInstances: 1, exchange: 'redis' },
    ],
    ['Unix sockets, instances stepping together', { ...TWO_BY_TWO, exchange: 'direct' }],
    ['TCP sockets, the experts gating', { ...TWO_BY_TWO, exchange: 'socket', apart: true, gate: 'experts' }],
    ['the relay', { ...TWO_BY_TWO, exchange: 'relay' }],
    ['the relay, the experts gating', { ...TWO_BY_TWO, exchange: 'relay', gate: 'experts' }],
    ['one phase', { ...TWO_BY_TWO, exchange: 'one-phase' }],
    [
      'whichever regime is cheaper, several attention hosts',
      { attentionHosts: 2, attentionInstances: 2, expertHosts: 2, expertInstances: 1, exchange: 'auto' },
    ],
  ])('over %s generate the reference token ids', async (_name, layout) => {
    start(layout);
    const started = [...processes];
    onTestFailed(() => console.error(started.map((host) => host.output()).join('\n—\n')));
    const client = new TestClient(redis.url);
    try {
      const answering = Promise.all(
        CASES.map((known) => client.generate({ prompt: { kind: 'tokens', ids: known.prompt_ids } })),
      );
      const answers = await Promise.race([answering, ...processes.map((host) => host.failed)]);
      expect(answers.map((answer) => answer.ids)).toEqual(CASES.map((known) => known.generated_ids));
      await expectTraffic(client, layout);
    } finally {
      await client.close();
    }
  });
});
