import { expect, it } from 'vitest';
import { PHASES } from '../../gpu-pool/attention/phase-times.ts';
import { define, TestClient } from '../support/generate.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, startTestHost } from '../support/test-host.ts';

const redis = useRedis();

it('tells in its record who computed each activated expert, and where the time of the steps went', async () => {
  const host = await startTestHost(redis.url, {
    model: { name: DICTIONARY_MODEL, folder: DICTIONARY_FOLDER, weightForm: 'int4' },
    expertInstances: 1,
  });
  const client = new TestClient(redis.url);
  const startedAtMs = performance.now();
  try {
    const words = ['harbor', 'winter', 'garden', 'bridge'];
    await Promise.all(words.map((word) => client.generate({ prompt: define(word), maxTokens: 24 })));
  } finally {
    await client.close();
    await host.close();
  }
  const tookMs = performance.now() - startedAtMs;
  const { attention, experts, traffic, exchange } = host.record();
  const [{ steps, phasesMs }] = attention as [(typeof attention)[number]];
  const [way] = traffic as [(typeof traffic)[number]];

  expect(exchange!.layerSteps).toBe(steps * host.config.layers);
  // With one expert instance, a_max is the number of activated experts.
  const activated = Math.round(exchange!.meanAMax * exchange!.layerSteps);
  expect(way.assistedGroups + experts[0]!.groups).toBe(activated);
  expect(way.assistedGroups).toBeGreaterThan(0);

  const phases = PHASES.map((phase) => phasesMs[phase]!);
  for (const ms of [...phases, phasesMs.store!, way.scheduleMs, way.combineMs, way.assistMs]) {
    expect(ms).toBeGreaterThan(0);
  }
  expect(phases.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(tookMs);
  const roundTripsMs = (way.meanRoundTripUs * way.layerSteps) / 1_000;
  expect(way.scheduleMs + way.assistMs + way.combineMs).toBeLessThan(roundTripsMs);
  expect(roundTripsMs).toBeLessThan(phasesMs.exchange!);
});
