import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  QUEUE_PREFIX,
  requestQueueName,
  TOKEN_STREAM_FIELD,
  tokenStreamKey,
} from '../../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';

/** What a client knows of its request; times are Unix milliseconds. */
export interface SentRequest {
  /** Unlike that of any other request to the same model: by it the request is found again. */
  readonly seed: number;
  readonly sentAtMs: number;
  /** When each token was read. */
  readonly readAtMs: readonly number[];
}

/** Where the time of one request went outside of the steps, in milliseconds. */
export interface RequestTimes {
  /** From the client's call until the gateway had accepted it. */
  readonly acceptMs: number;
  /** From there until the host took it off the queue. */
  readonly queueMs: number;
  /** From there until its first token was stored: prefill, and the step that was under way. */
  readonly firstTokenMs: number;
  /** From each token in Redis until its client had read it. */
  readonly readMs: readonly number[];
}

/** Redis names entries by whole milliseconds, which are half of one short in the mean. */
const REDIS_SHORT_MS = 0.5;
/** A job is completed a moment after its last token was read; what is asked here stands in it before that. */
const LOOKS = 50;
const LOOK_INTERVAL_MS = 20;

type Entry = readonly [id: string, fields: readonly string[]];

/**
 * Looks up in queue and token streams what became of requests with one choice.
 *
 * @throws Error when one is not found
 */
export async function readRequestTimes(
  redis: Redis,
  model: string,
  sent: readonly SentRequest[],
): Promise<RequestTimes[]> {
  const jobs = await findJobs(redis, model, new Set(sent.map(({ seed }) => seed)));
  return Promise.all(
    sent.map(async ({ seed, sentAtMs, readAtMs }) => {
      const { data, processedOn } = jobs.get(seed)!;
      const storedAtMs = await readStoredTimes(redis, data.requestId);
      const takenAtMs = processedOn!;
      return {
        acceptMs: data.acceptedAtMs - sentAtMs,
        queueMs: takenAtMs - data.acceptedAtMs,
        firstTokenMs: storedAtMs[0]! - takenAtMs,
        readMs: readAtMs.slice(0, storedAtMs.length).map((ms, i) => ms - storedAtMs[i]!),
      };
    }),
  );
}

/** The jobs with these seeds. */
async function findJobs(
  redis: Redis,
  model: string,
  seeds: ReadonlySet<number>,
): Promise<Map<number, Job<SequenceJob>>> {
  const queue = new Queue<SequenceJob>(requestQueueName(model), {
    connection: redis,
    prefix: QUEUE_PREFIX,
    skipVersionCheck: true,
  });
  try {
    for (let look = 0; look < LOOKS; look++) {
      const jobs = await queue.getJobs(['completed'], 0, seeds.size - 1);
      const found = jobs.filter(({ data }) => seeds.has(data.sampling.seed));
      if (found.length === seeds.size) return new Map(found.map((job) => [job.data.sampling.seed, job]));
      await sleep(LOOK_INTERVAL_MS);
    }
    throw new Error(`The last ${seeds.size} jobs of ${model} are not those that were sent.`);
  } finally {
    await queue.close();
  }
}

/** When Redis got each token that has text, which is what clients see. */
async function readStoredTimes(redis: Redis, requestId: string): Promise<number[]> {
  const entries = (await redis.xrange(tokenStreamKey(requestId), '-', '+')) as Entry[];
  return entries
    .filter(([, fields]) => {
      const event = JSON.parse(fields[fields.indexOf(TOKEN_STREAM_FIELD) + 1]!) as TokenEvent;
      return event.kind === 'token' && event.text !== '';
    })
    .map(([id]) => Number(id.split('-')[0]) + REDIS_SHORT_MS);
}
