import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPlacement } from '../../gpu-pool/host/placement-store.ts';
import { servingHosts } from '../../shared/replacement/transition.ts';
import { TestClient } from '../support/generate.ts';
import { Fleet } from '../support/nodes/fleet.ts';
import { type NodeRedis, startNodeRedis } from '../support/nodes/node-redis.ts';
import { createNodes, type Nodes, nodesUnavailable, type TestNode } from '../support/nodes/nodes.ts';
import { StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

/** `npm run test:chaos` sets it; a fleet on nodes of its own takes its time. */
const IS_WHOLE = process.env.JANUS_CHAOS === 'whole';
const STREAMS = 16;
const CUT_MS = 7_000;
/** Silence is noticed after 400 ms. */
const MOST_EXPERT_STALL_MS = 1_000;
const TAKEOVER_LIMIT_MS = 3_500;
const RECOVERY_LIMIT_MS = 40_000;
const LIMIT_MS = 180_000;
const ATTENTION = [1, 1];
const EXPERTS = [1, 1];
/** So that every expert host holds all experts. */
const SLOTS = 32;
const REDIS_NODE = ATTENTION.length + EXPERTS.length;

const unavailable = nodesUnavailable();
const title = `a node that nobody reaches for a while${unavailable === undefined ? '' : ` (skipped: ${unavailable})`}`;

describe.skipIf(!IS_WHOLE || unavailable !== undefined)(title, () => {
  let network: Nodes;
  let redis: NodeRedis;
  let client: TestClient;
  let fleet: Fleet;

  beforeAll(async () => {
    network = await createNodes(REDIS_NODE + 1);
    redis = await startNodeRedis(network.nodes[REDIS_NODE]!);
    client = new TestClient(redis.socketPath);
    fleet = await Fleet.start(network.nodes, redis, {
      name: DICTIONARY_MODEL,
      attention: ATTENTION,
      experts: EXPERTS,
      exchange: 'auto',
      gate: 'attention',
      scheduler: 'aebs',
      slots: SLOTS,
      kvSlots: STREAMS,
      tokenBudget: 128,
    });
  });
  afterAll(async () => {
    await client?.close();
    await fleet?.stop();
    await redis?.stop();
    await network?.close();
  });

  const serving = async (): Promise<number> =>
    servingHosts((await readPlacement(client.redis, DICTIONARY_MODEL))!).length;

  /** Cuts a node off under streams; returns the longest time between two tokens of one. */
  async function cutOff(what: string, node: TestNode): Promise<number> {
    const load = new StreamLoad(client, STREAMS);
    const goesOn = async (): Promise<void> => {
      const seen = load.tokens;
      await expect
        .poll(() => load.tokens, { timeout: RECOVERY_LIMIT_MS })
        .toBeGreaterThan(seen + 10 * STREAMS);
    };
    await goesOn();
    load.forgetGaps();
    await node.cut();
    await sleep(CUT_MS);
    await node.heal();
    await goesOn();
    await expect.poll(serving, { timeout: RECOVERY_LIMIT_MS }).toBe(EXPERTS.length);
    await goesOn();
    const { answers, wrong, longestGapMs } = await load.end();
    console.log(
      `${what} was cut off for ${CUT_MS} ms: ${answers} answers, ${wrong.length} wrong or failed, a stall of ${Math.round(longestGapMs)} ms`,
    );
    expect(wrong).toEqual([]);
    return longestGapMs;
  }

  it(
    'changes no token where it holds experts',
    async () => {
      const stallMs = await cutOff('an expert host', network.nodes[ATTENTION.length]!);
      expect(stallMs).toBeLessThan(MOST_EXPERT_STALL_MS);
    },
    LIMIT_MS,
  );

  it(
    'changes no token where it holds attention',
    async () => {
      const stallMs = await cutOff('an attention host', network.nodes[0]!);
      expect(stallMs).toBeLessThan(TAKEOVER_LIMIT_MS);
    },
    LIMIT_MS,
  );
});
