import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { GREEDY, type TestClient } from '../../support/generate.ts';
import { percentile } from '../results.ts';

/** Short prompts, since the ablation is about decoding. */
const PROMPT_TOKENS = 4;
/** Hot sampling keeps sequences apart, so that routing stays spread as it is among real users. */
const SAMPLING = { ...GREEDY, temperature: 1.5, ignoreEndOfSequence: true };
const POLL_MS = 100;
const LIMIT_MS = 60_000;
/** Tokens that each sequence must have decoded while all did. */
const FEWEST_TOKENS = 3;

export interface LoadOptions {
  readonly model: string;
  readonly vocabularySize: number;
  /** Sequences that decode at the same time. */
  readonly rows: number;
  readonly tokens: number;
  readonly seed: number;
}

/** What the token streams tell of the time in which all sequences decoded. */
export interface DecodeTimes {
  /** Each sequence's mean time between its tokens in that time, in ms. */
  readonly tpotMs: readonly number[];
  /** Single times between two tokens of one sequence, in ms. */
  readonly gapsMs: readonly number[];
  readonly tokensPerSecond: number;
}

/**
 * Runs `rows` sequences at once and times their tokens. The times are those at which Redis got the tokens: the streams are
 * read afterwards, so that reading them takes nothing from the hosts, with which this process shares its processors.
 *
 * @returns nothing where some sequences hardly decoded together with the others
 * @throws Error when a sequence fails, or all are not done in time
 */
export async function runDecodeLoad(
  client: TestClient,
  options: LoadOptions,
): Promise<DecodeTimes | undefined> {
  const jobs = makeJobs(options);
  await client.dispatcher.dispatch(jobs);
  const keys = jobs.map((job) => tokenStreamKey(job.requestId));
  await waitUntilEnded(client, options.model, keys);
  const streams = await client.redis.pipeline(keys.map((key) => ['xrange', key, '-', '+'])).exec();
  await client.redis.del(keys);
  const times = streams!.map(([, entries]) => tokenTimes(entries as [string, string[]][]));
  return steadyTimes(times);
}

function makeJobs({ model, vocabularySize, rows, tokens, seed }: LoadOptions): SequenceJob[] {
  const random = seededRandom(seed);
  const token = (): number => Math.floor(random() * vocabularySize);
  return Array.from({ length: rows }, (_, i) => ({
    requestId: randomUUID(),
    model,
    choice: 0,
    prompt: { kind: 'tokens', ids: Array.from({ length: PROMPT_TOKENS }, token) },
    sampling: { ...SAMPLING, seed: seed * 10_000 + i },
    maxTokens: tokens,
    acceptedAtMs: Date.now(),
  }));
}

const eventOf = (fields: readonly string[]): TokenEvent =>
  JSON.parse(fields[fields.indexOf(TOKEN_STREAM_FIELD) + 1]!) as TokenEvent;

async function waitUntilEnded(client: TestClient, model: string, keys: readonly string[]): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  let open = keys;
  while (open.length > 0) {
    await sleep(POLL_MS);
    const last = await client.redis
      .pipeline(open.map((key) => ['xrevrange', key, '+', '-', 'COUNT', 1]))
      .exec();
    open = open.filter((_, i) => {
      const [entry] = last![i]![1] as [string, string[]][];
      const event = entry && eventOf(entry[1]);
      if (event?.kind === 'failed') throw new Error(`A sequence of ${model} failed: ${event.error.message}`);
      return event?.kind !== 'finished';
    });
    if (performance.now() > deadlineMs) {
      throw new Error(
        `${open.length} of ${keys.length} sequences of ${model} were not done after ${LIMIT_MS} ms.`,
      );
    }
  }
}

/** Redis names entries by the time at which it got them, in ms. */
function tokenTimes(entries: readonly (readonly [string, string[]])[]): number[] {
  return entries
    .filter(([, fields]) => eventOf(fields).kind === 'token')
    .map(([id]) => Number(id.split('-')[0]));
}

/** Cuts off the beginning, in which some sequences wait or prefill, and the end, at which some are done. */
function steadyTimes(times: readonly (readonly number[])[]): DecodeTimes | undefined {
  const fromMs = Math.max(...times.map((of) => of[0]!));
  const untilMs = Math.min(...times.map((of) => of.at(-1)!));
  const steady = times.map((of) => of.filter((ms) => ms >= fromMs && ms <= untilMs));
  if (steady.some((of) => of.length < FEWEST_TOKENS)) return undefined;
  const gapsMs = steady.flatMap((of) => of.slice(1).map((ms, i) => ms - of[i]!));
  const tokens = gapsMs.length;
  return {
    tpotMs: steady.map((of) => (of.at(-1)! - of[0]!) / (of.length - 1)),
    gapsMs,
    tokensPerSecond: (tokens * 1_000) / (untilMs - fromMs),
  };
}

/** The same over several rounds. */
export function summarise(rounds: readonly DecodeTimes[]) {
  const tpotMs = rounds.map((round) => percentile(round.tpotMs, 0.5));
  return {
    tpotP50Ms: percentile(tpotMs, 0.5),
    tpotP99Ms: percentile(
      rounds.flatMap((round) => round.gapsMs),
      0.99,
    ),
    tokensPerSecond: percentile(
      rounds.map((round) => round.tokensPerSecond),
      0.5,
    ),
  };
}
