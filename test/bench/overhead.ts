import { startLocalRedis } from '../../infra/redis/local-redis.ts';
import { TestClient } from '../support/generate.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { hostOptions, startTestHost } from '../support/test-host.ts';
import { median } from './results.ts';

/** What separate pools cost: TPOT of 1 attention + 2 expert instances against both in one thread, whole request path. */
const LAYOUTS = { monolith: { monolith: true }, '1A2E': { expertInstances: 2 } } as const;
type Layout = keyof typeof LAYOUTS;
const BATCHES = [1, 16];
const TOKENS = 96;

/** Median over the batch of each sequence's mean time between its tokens, in ms, as its client sees them. */
async function tpotMs(client: TestClient, model: string, batch: number, seed: number): Promise<number> {
  const perSequence = await Promise.all(
    Array.from({ length: batch }, async (_, i) => {
      const answer = await client.generate({
        model,
        prompt: { kind: 'tokens', ids: GOLDEN_CASES[(seed + i) % GOLDEN_CASES.length]!.prompt_ids },
        // Hot sampling keeps sequences apart, so that routing stays spread as it is among real users.
        sampling: { temperature: 1.5, seed: seed * 1_000 + i, ignoreEndOfSequence: true },
        maxTokens: TOKENS,
      });
      return (answer.lastTokenAtMs - answer.firstTokenAtMs) / (answer.ids.length - 1);
    }),
  );
  return median(perSequence);
}

export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const rounds = quick ? 2 : 9;
  const redis = await startLocalRedis();
  const client = new TestClient(redis.url);
  const layouts = Object.keys(LAYOUTS) as Layout[];
  const { model } = hostOptions(redis.url);
  const hosts = await Promise.all(
    layouts.map((name) => startTestHost(redis.url, { ...LAYOUTS[name], model: { ...model, name } })),
  );
  const measured = new Map<string, number[]>();
  // One round to warm up, then the layouts in turn, so that a change of the machine's speed meets both.
  for (let round = -1; round < rounds; round++) {
    for (const batch of BATCHES) {
      for (const name of layouts) {
        const value = await tpotMs(client, name, batch, round + 2);
        if (round >= 0)
          measured.set(`${name}/${batch}`, [...(measured.get(`${name}/${batch}`) ?? []), value]);
      }
    }
  }
  await Promise.all(hosts.map((host) => host.close()));
  await client.close();
  await redis.stop();
  const cases = BATCHES.map((batch) => {
    const monolith = measured.get(`monolith/${batch}`)!;
    const pools = measured.get(`1A2E/${batch}`)!;
    return {
      batch,
      monolithTpotMs: median(monolith),
      poolsTpotMs: median(pools),
      poolsOverMonolith: median(pools.map((value, round) => value / monolith[round]!)),
    };
  });
  return { cases, rounds, tokensPerSequence: TOKENS };
}
