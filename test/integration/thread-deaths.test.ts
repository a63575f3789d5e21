import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Host } from '../../gpu-pool/host/host.ts';
import { readPlacement } from '../../gpu-pool/host/placement-store.ts';
import { MOST_RESTARTS } from '../../gpu-pool/host/restarts.ts';
import { isEmptied } from '../../shared/replacement/transition.ts';
import { TestClient } from '../support/generate.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { type KnownAnswer, StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';
import { writeTinyCheckpoint } from '../support/tiny-checkpoint.ts';

const STREAMS = 4;
/** Far over what it takes to start a thread and to compute a few prompts again, on cores that others use too. */
const STALL_LIMIT_MS = 3_000;
const LIMITS = { tokenBudget: 64, prefillBudget: 64, slots: 4, waiting: 8, prefixCacheBytes: 0 };
const PROMPTS = GOLDEN_CASES.slice(0, STREAMS).map(({ prompt_ids: ids }) => ids);

const redis = useRedis();

/** Answers of the pool itself, before anything happens to it. */
async function knownAnswers(client: TestClient): Promise<KnownAnswer[]> {
  const prompts = PROMPTS.map((ids) => client.generate({ prompt: { kind: 'tokens', ids } }));
  const answers = await Promise.all(prompts);
  return answers.map(({ ids }, index) => ({ prompt_ids: PROMPTS[index]!, generated_ids: ids }));
}

// In kernel memory, where threads help each other and leave experts behind, and as sessions of ONNX Runtime behind a socket, where
// attention instances step together and there are no other replicas.
describe.each([
  ['int4', 'together'],
  ['f32', 'apart'],
] as const)('threads of %s hosts, attention and experts %s', (weightForm, layout) => {
  const hosts: Host[] = [];
  let client: TestClient;
  let known: KnownAnswer[];

  beforeAll(async () => {
    const model = { name: DICTIONARY_MODEL, folder: DICTIONARY_FOLDER, weightForm };
    const start = async (options: Parameters<typeof startTestHost>[1]) =>
      hosts.push(await startTestHost(redis.url, { model, limits: LIMITS, ...options }));
    if (layout === 'together') {
      await start({ attentionInstances: 2, expertInstances: 2, capacity: 24 });
    } else {
      await start({ role: 'experts', expertInstances: 1 });
      await start({ role: 'attention', attentionInstances: 2, poolExpertInstances: 1 });
    }
    client = new TestClient(redis.url);
    known = await knownAnswers(client);
  });
  afterAll(async () => {
    await client.close();
    for (const host of hosts.toReversed()) await host.close();
  });

  const attention = () => hosts.at(-1)!.attention!.instances;
  const experts = () => hosts[0]!.experts!.instances;
  const isWhole = (): boolean => [...attention(), ...experts()].every(({ state }) => state === 'ready');

  /** Waits until every stream has gone on, then kills threads, and waits until their instances are as before. */
  async function hit(
    load: StreamLoad,
    kill: () => Promise<unknown>,
    isMended: () => boolean | Promise<boolean>,
  ) {
    const seen = load.tokens;
    await expect.poll(() => load.tokens, { timeout: 10_000 }).toBeGreaterThan(seen + 2 * STREAMS);
    load.forgetGaps();
    await kill();
    await expect.poll(isMended, { timeout: 10_000, interval: 20 }).toBe(true);
  }

  async function endAsKnown(load: StreamLoad): Promise<void> {
    const { wrong, longestGapMs } = await load.end();
    expect(wrong).toEqual([]);
    expect(longestGapMs).toBeLessThan(STALL_LIMIT_MS);
  }

  it('of attention: sequences go on elsewhere, or wait in the queue until an instance serves again', async () => {
    const [first, second] = attention();
    const load = new StreamLoad(client, STREAMS, known);
    await hit(load, () => first!.kill(), isWhole);
    expect([attention()[0] === first, attention()[1] === second]).toEqual([false, true]);
    await hit(load, () => Promise.all(attention().map((instance) => instance.kill())), isWhole);
    await expect.poll(() => attention().every(({ steps }) => steps > 0), { timeout: 10_000 }).toBe(true);
    await endAsKnown(load);
  });

  it('of experts: steps go to other replicas, or wait until they are loaded, and the instance has its share again', async () => {
    const before = experts().at(-1)!;
    const holdsSome = async () =>
      isWhole() && !isEmptied((await readPlacement(client.redis, DICTIONARY_MODEL))!, before.id);
    const load = new StreamLoad(client, STREAMS, known);
    await hit(load, () => before.kill(), holdsSome);
    const again = experts().at(-1)!;
    expect(again).not.toBe(before);
    // It computes layer steps, and does not only stand in the placement.
    const { layerSteps } = again.record();
    await expect.poll(() => again.record().layerSteps, { timeout: 10_000 }).toBeGreaterThan(layerSteps);
    await endAsKnown(load);
  });
});

it('a host whose instance cannot be started again says why it is to leave', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'janus-threads-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeTinyCheckpoint(folder);
  const model = { name: 'tiny', folder, weightForm: 'f32' } as const;
  const host = await startTestHost(redis.url, { model });
  onTestFinished(() => host.close());
  rmSync(folder, { recursive: true });
  await host.attention!.instances[0]!.kill();
  const often = `attention instance ${host.id}-0 has ended ${MOST_RESTARTS + 1} times in a row`;
  expect(await host.givenUp).toMatch(new RegExp(`^${often}, .* model folder .* does not exist`));
  await expect.poll(() => host.record().attention[0]!.state).toBe('gone');
});
