import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Host } from '../../gpu-pool/host/host.ts';
import { readPlacement, takeVersion, wantPlacement } from '../../gpu-pool/host/placement-store.ts';
import { isEmptied } from '../../shared/replacement/transition.ts';
import { TestClient } from '../support/generate.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { shuffledPlacement } from '../support/shuffled-placement.ts';
import { type KnownAnswer, StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';

/** Slots of three instances for 32 experts: some have no second replica. */
const SLOTS = 12;
const STREAMS = 4;
/** Far over what it takes to load a third of the experts. */
const STALL_LIMIT_MS = 4_000;
const PROMPTS = GOLDEN_CASES.slice(0, 8).map(({ prompt_ids: ids }) => ids);

const redis = useRedis();

// As sessions of ONNX Runtime, and in kernel memory that the instances share; with attention, and on a host of their own.
describe.each([
  ['f32', 'together'],
  ['int4', 'apart'],
] as const)('experts in %s, attention and experts %s', (weightForm, layout) => {
  let experts: Host;
  let attention: Host | undefined;
  let client: TestClient;
  let known: KnownAnswer[];

  beforeAll(async () => {
    const model = { name: DICTIONARY_MODEL, folder: DICTIONARY_FOLDER, weightForm };
    const pool = { model, poolExpertInstances: 3, capacity: SLOTS };
    const role = layout === 'apart' ? 'experts' : 'both';
    const limits = { tokenBudget: 64, prefillBudget: 64, slots: 8, waiting: 8, prefixCacheBytes: 0 };
    experts = await startTestHost(redis.url, { role, expertInstances: 3, limits, ...pool });
    if (layout === 'apart') {
      attention = await startTestHost(redis.url, { role: 'attention', limits, ...pool });
    }
    client = new TestClient(redis.url);
    const answers = await Promise.all(
      PROMPTS.map((ids) => client.generate({ prompt: { kind: 'tokens', ids } })),
    );
    known = answers.map(({ ids }, index) => ({ prompt_ids: PROMPTS[index]!, generated_ids: ids }));
  });
  afterAll(async () => {
    await client.close();
    await attention?.close();
    await experts.close();
  });

  const inForce = async () => (await readPlacement(client.redis, DICTIONARY_MODEL))!;

  it('come and go under streams, which have the same tokens', async () => {
    const load = new StreamLoad(client, STREAMS, known);
    for (let seed = 1; seed <= 2; seed++) {
      const held = await inForce();
      const next = shuffledPlacement(held, await takeVersion(client.redis, DICTIONARY_MODEL), seed);
      expect(await wantPlacement(client.redis, next, held.version)).toBe(true);
      await expect.poll(async () => (await inForce()).version, { timeout: 10_000 }).toBe(next.version);
    }
    const result = await load.end();
    expect(result.wrong).toEqual([]);
  });

  it('are loaded elsewhere when an instance dies with the only replicas of some, and streams have the same tokens', async () => {
    const load = new StreamLoad(client, STREAMS, known);
    await expect.poll(() => load.tokens, { timeout: 10_000 }).toBeGreaterThan(10 * STREAMS);
    load.forgetGaps();
    await experts.experts!.instances[1]!.kill();
    await expect.poll(async () => isEmptied(await inForce(), 1), { timeout: 5_000 }).toBe(true);
    expect((await inForce()).capacity).toBeGreaterThan(SLOTS);
    const seen = load.tokens;
    await expect.poll(() => load.tokens, { timeout: 10_000 }).toBeGreaterThan(seen + 20 * STREAMS);
    const result = await load.end();
    expect(result.wrong).toEqual([]);
    expect(result.longestGapMs).toBeLessThan(STALL_LIMIT_MS);
  });
});
