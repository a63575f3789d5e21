import { expect, it } from 'vitest';
import { scrape } from '../support/gateway/scrape.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const TOKENS = 16;
/** Experts per layer of the shipped model. */
const EXPERTS = 32;
/** Redis and this process may read different clocks. */
const CLOCK_DIFFERENCE_MS = 1_000;
const startedAtMs = Date.now();

const served = useServedModel();

it('metrics tell of a request what its usage tells, and of the pools what they did for it', async () => {
  const address = `${served.address}`;
  const response = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      prompt: 'harbor',
      max_tokens: TOKENS,
      ignore_eos: true,
    }),
  });
  const { usage } = (await response.json()) as { usage: Record<string, number> };
  const label = (more = '') => `{model_name="${DICTIONARY_MODEL}"${more}}`;
  const instances = (role: string, state: string) =>
    `janus:pool_instances${label(`,role="${role}",state="${state}"`)}`;
  const ofHost = label(`,host="${served.host.id}"`);
  // Hosts tell of themselves once a second.
  await expect
    .poll(async () => (await scrape(address)).get(`janus:layer_steps_total${ofHost}`), { timeout: 5_000 })
    .toBe(served.host.record().exchange!.layerSteps);

  const now = await scrape(address);
  expect(Object.fromEntries(now)).toMatchObject({
    [`janus:prompt_tokens_total${label()}`]: usage.prompt_tokens,
    [`janus:generation_tokens_total${label()}`]: TOKENS,
    [`janus:request_success_total${label(',finished_reason="length"')}`]: 1,
    [`janus:time_to_first_token_seconds_count${label()}`]: 1,
    [`janus:inter_token_latency_seconds_count${label()}`]: TOKENS - 1,
    [`janus:num_requests_running${label()}`]: 0,
    [`janus:num_requests_waiting${label()}`]: 0,
    [`janus:kv_cache_usage_perc${label()}`]: 0,
    [instances('attention', 'ready')]: 1,
    [instances('experts', 'ready')]: 2,
    [instances('experts', 'loading')]: 0,
  });
  const between = (series: string, least: number, most: number) => {
    expect(now.get(series), series).toBeGreaterThan(least);
    expect(now.get(series), series).toBeLessThanOrEqual(most);
  };
  // A version is the time at which Redis gave it.
  between(
    `janus:placement_version${label()}`,
    startedAtMs - CLOCK_DIFFERENCE_MS,
    Date.now() + CLOCK_DIFFERENCE_MS,
  );
  between(`janus:a_max${ofHost}`, 1, EXPERTS);
  between(`janus:balancedness${label()}`, 0.2, 1);
  between(`janus:seconds_since_placement${label()}`, 0, 60);
  const way = label(`,host="${served.host.id}",kind="shared-memory",peer="${served.host.id}"`);
  between(`janus:exchange_seconds_total${way}`, 0, 10);
  expect(now.get(`janus:exchange_layer_steps_total${way}`)).toBe(served.host.record().exchange!.layerSteps);
});
