import { describe, expect, it } from 'vitest';
import type { HostOptions } from '../../gpu-pool/host/host-options.ts';
import { SCHEDULER_NAMES } from '../../shared/scheduler/scheduling.ts';
import { TestClient } from '../support/generate.ts';
import { GOLDEN_BATCH } from '../support/golden.ts';
import { useRedis } from '../support/redis.ts';
import { startTestHost } from '../support/test-host.ts';

const IN_ONE_HOST: [string, Partial<HostOptions>][] = [
  ['monolith', { monolith: true }],
  ['1 attention, 1 expert instance', { expertInstances: 1 }],
  ['1 attention, 2 expert instances', { expertInstances: 2 }],
  ['1 attention, 4 expert instances, every expert twice', { expertInstances: 4, capacity: 16 }],
  ['2 attention, 3 expert instances', { attentionInstances: 2, expertInstances: 3 }],
];

/** Layouts above are scheduled by AEBS; every other scheduler picks other replicas, or splits an expert's rows. */
const WITH_REPLICAS = { expertInstances: 4, capacity: 16 } as const;
for (const scheduler of SCHEDULER_NAMES) {
  if (scheduler === 'aebs') continue;
  IN_ONE_HOST.push([
    `1 attention, 4 expert instances, every expert twice, ${scheduler}`,
    { ...WITH_REPLICAS, scheduler },
  ]);
}

const redis = useRedis();

async function expectGoldenIds(): Promise<void> {
  const client = new TestClient(redis.url);
  const answers = await Promise.all(
    GOLDEN_BATCH.map((known) => client.generate({ prompt: { kind: 'tokens', ids: known.prompt_ids } })),
  );
  await client.close();
  expect(answers.map((answer) => answer.ids)).toEqual(GOLDEN_BATCH.map((known) => known.generated_ids));
}

describe.each(IN_ONE_HOST)('%s in one host', (_name, options) => {
  it('generates the reference token ids', async () => {
    const host = await startTestHost(redis.url, options);
    try {
      await expectGoldenIds();
      const { attention, experts } = host.record();
      expect(attention.map((instance) => instance.slotsInUse)).toEqual(attention.map(() => 0));
      if (!options.monolith) expect(experts.every((instance) => instance.maxActivated > 0)).toBe(true);
    } finally {
      await host.close();
    }
  });
});
