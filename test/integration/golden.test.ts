import { describe, expect, it } from 'vitest';
import type { WeightForm } from '../../shared/model/config.ts';
import { TestClient } from '../support/generate.ts';
import { DECIDED_GAP, GOLDEN_CASES } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { hostOptions, startTestHost } from '../support/test-host.ts';

const redis = useRedis();

/** Answers to all golden prompts, through queue, attention and expert pool, with the first step's log probabilities. */
async function answerAll(weightForm: WeightForm) {
  const { model } = hostOptions(redis.url);
  const host = await startTestHost(redis.url, { model: { ...model, weightForm } });
  const client = new TestClient(redis.url);
  try {
    return await Promise.all(
      GOLDEN_CASES.map((known) =>
        client.generate({
          prompt: { kind: 'tokens', ids: known.prompt_ids },
          sampling: { topLogprobs: 5 },
          maxTokens: 160,
        }),
      ),
    );
  } finally {
    await client.close();
    await host.close();
  }
}

const sameIds = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();

describe('answers of the shipped model against an independent PyTorch run of the same weights', () => {
  it('f32: the same token ids, and first-step log probabilities within 1e-3', async () => {
    const answers = await answerAll('f32');
    const different = GOLDEN_CASES.filter((known, i) => !sameIds(answers[i]!.ids, known.generated_ids));
    const undecided = different.filter((known) => known.smallest_gap < DECIDED_GAP);
    console.info(
      `f32: ${different.length} of ${GOLDEN_CASES.length} differ, ${undecided.length} of them undecided`,
    );
    expect(different.filter((known) => known.smallest_gap >= DECIDED_GAP)).toEqual([]);
    for (const [i, known] of GOLDEN_CASES.entries()) {
      const top = answers[i]!.tokens[0]!.logprob!.top;
      for (const [rank, [, logprob]] of known.first_top5.entries()) {
        expect(Math.abs(top[rank]!.logprob - logprob)).toBeLessThan(1e-3);
      }
    }
  }, 60_000);

  it.each([
    ['int8', 0.98],
    ['int4', 0.85],
  ] as const)(
    '%s: at least %f of the answers identical',
    async (weightForm, share) => {
      const answers = await answerAll(weightForm);
      const same = GOLDEN_CASES.filter((known, i) => sameIds(answers[i]!.ids, known.generated_ids));
      console.info(`${weightForm}: ${same.length} of ${GOLDEN_CASES.length} answers identical`);
      expect(same.length / GOLDEN_CASES.length).toBeGreaterThanOrEqual(share);
    },
    60_000,
  );
});
