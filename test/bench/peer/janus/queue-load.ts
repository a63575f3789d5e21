import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../../shared/protocol/token-event.ts';
import { GREEDY, type TestClient } from '../../../support/generate.ts';
import type { SequenceRequest } from './http-load.ts';

/** Rare enough to take nothing from the host. */
const POLL_MS = 100;
const LIMIT_MS = 20 * 60_000;

type Entry = readonly [id: string, fields: readonly string[]];

/**
 * Runs sequences without HTTP: they go straight into the queue, and the times are those at which Redis got the tokens, read
 * when all is over. This is the inner loop of a host: attention, exchange, experts, sampling and one write per step.
 *
 * @returns per sequence, times of its tokens in ms since it was queued; Redis counts whole milliseconds
 * @throws Error when a sequence fails, or all are not done in time
 */
export async function runInnerLoop(
  client: TestClient,
  model: string,
  requests: readonly SequenceRequest[],
): Promise<number[][]> {
  const queuedAtMs = Date.now();
  const jobs = requests.map(({ prompt, tokens, seed }): SequenceJob => {
    return {
      requestId: randomUUID(),
      model,
      choice: 0,
      prompt: { kind: 'tokens', ids: prompt },
      sampling: { ...GREEDY, temperature: 1, seed, ignoreEndOfSequence: true },
      maxTokens: tokens,
      acceptedAtMs: queuedAtMs,
    };
  });
  for (const job of jobs) await client.dispatcher.dispatch([job]);
  const keys = jobs.map(({ requestId }) => tokenStreamKey(requestId));
  await waitUntilFinished(client, keys);
  const streams = await client.redis.pipeline(keys.map((key) => ['xrange', key, '-', '+'])).exec();
  await client.redis.del(keys);
  return streams!.map(([, entries]) =>
    (entries as Entry[])
      .filter(([, fields]) => eventOf(fields).kind === 'token')
      // Redis names entries by the time at which it got them.
      .map(([id]) => Number(id.split('-')[0]) - queuedAtMs),
  );
}

const eventOf = (fields: readonly string[]): TokenEvent =>
  JSON.parse(fields[fields.indexOf(TOKEN_STREAM_FIELD) + 1]!) as TokenEvent;

async function waitUntilFinished(client: TestClient, keys: readonly string[]): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  for (let open = keys; open.length > 0; ) {
    await sleep(POLL_MS);
    const commands = open.map((key) => ['xrevrange', key, '+', '-', 'COUNT', 1]);
    const last = await client.redis.pipeline(commands).exec();
    open = open.filter((_, i) => {
      const [entry] = last![i]![1] as Entry[];
      const event = entry && eventOf(entry[1]);
      if (event?.kind === 'failed') throw new Error(`A sequence failed: ${event.error.message}`);
      return event?.kind !== 'finished';
    });
    if (performance.now() > deadlineMs) throw new Error(`${open.length} sequences were not done in time.`);
  }
}
