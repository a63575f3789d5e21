import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { describe, expect, test, vi } from 'vitest';
import { startGateway } from '../../../functions/gateway/node.ts';
import { ANSWER, ENDLESS } from './asks.ts';
import { chatAsk, openaiClient, startEndless } from './openai-client.ts';
import { describeLibraries } from './suites.ts';
import { expectCancelled, untilRunning, useSdkTarget } from './target.ts';

/** Few, so that the gateway is easily full. */
const OPEN_REQUESTS = 4;

const target = useSdkTarget(async (redisUrl) => {
  const folder = await mkdtemp(join(tmpdir(), 'janus-sdk-'));
  const gateway = await startGateway({
    redisUrl,
    host: '127.0.0.1',
    port: 0,
    files: { folder },
    limits: { openRequests: OPEN_REQUESTS },
  });
  return {
    address: `http://127.0.0.1:${gateway.port}`,
    async runBatches() {},
    async close() {
      await gateway.close();
      await rm(folder, { recursive: true });
    },
  };
});

describe('on Node', () => {
  describeLibraries(target);

  // Not on workerd, which notices that a client has gone when it writes to it, and so at once in a stream only.
  test('the openai package aborts a request that is not streamed, and so cancels it', async () => {
    await expectCancelled(target(), async () => {
      const client = new AbortController();
      const ask = { ...chatAsk(target()), ...ENDLESS };
      const asking = openaiClient(target()).chat.completions.create(ask, { signal: client.signal });
      const refused = expect(asking).rejects.toThrow(OpenAI.APIUserAbortError);
      await untilRunning(target());
      client.abort();
      await refused;
    });
  });

  test('the openai package asks again when Retry-After says so', async () => {
    const told: { status: number; retryAfterMs: number; atMs: number }[] = [];
    const client = openaiClient(target(), {
      maxRetries: 1,
      async fetch(...asked) {
        const response = await fetch(...asked);
        const retryAfterMs = Number(response.headers.get('retry-after')) * 1_000;
        told.push({ status: response.status, retryAfterMs, atMs: performance.now() });
        return response;
      },
    });
    const others = Array.from({ length: OPEN_REQUESTS }, () =>
      startEndless(openaiClient(target()), target()),
    );
    const streams = await Promise.all(others);
    const asking = client.chat.completions.create(chatAsk(target()));
    await vi.waitFor(() => expect(told).toHaveLength(1));
    for (const { controller } of streams) controller.abort();
    expect((await asking).choices[0].message.content).toBe(ANSWER);
    expect(told.map(({ status }) => status)).toEqual([503, 200]);
    const [refused, answered] = told;
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    expect(answered.atMs - refused.atMs).toBeGreaterThanOrEqual(refused.retryAfterMs);
  });
});
