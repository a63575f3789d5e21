import { basename } from 'node:path';
import { Redis } from 'ioredis';
import { streamTokens } from '../peer/janus/http-load.ts';
import { JanusProcess } from '../peer/janus/janus-process.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { FORM } from '../systems/bench-model.ts';
import { RecordWatch, spanWithin } from './record-watch.ts';
import { type RequestTimes, readRequestTimes, type SentRequest } from './request-times.ts';
import type { RecordSpan } from './step-profile.ts';

/** Sequences that are to decode at once. */
export interface Load {
  readonly sequences: number;
  /** Tokens of each prompt. */
  readonly context: number;
  /** Tokens that each sequence generates. */
  readonly tokens: number;
  /** The seeds of the sequences count from here. */
  readonly seed: number;
}

/** One run of a load, as its clients and the host saw it. */
export interface LoadRun {
  /** The host, while all sequences decoded. */
  readonly span: RecordSpan;
  /** Per sequence, when its client read each token, in Unix milliseconds. */
  readonly readAtMs: readonly (readonly number[])[];
  /** `readMs` only of tokens that came while all sequences decoded. */
  readonly requests: readonly RequestTimes[];
}

/** `janus up` with one model, one attention and one expert instance, and no kept prefixes, and clients of it. */
export class ProfileBed implements AsyncDisposable {
  readonly #janus: JanusProcess;
  readonly #redis: Redis;
  readonly #model: string;
  readonly #vocabularySize: number;

  private constructor(janus: JanusProcess, model: string, vocabularySize: number) {
    this.#janus = janus;
    this.#redis = new Redis(janus.redisUrl);
    this.#model = model;
    this.#vocabularySize = vocabularySize;
  }

  /** @param folder packed model */
  static async start(folder: string, vocabularySize: number, slots: number): Promise<ProfileBed> {
    const flags = ['--experts', '1', '--kv-slots', String(slots), '--prefix-cache-mib', '0'];
    const janus = await JanusProcess.start(['--model', folder, '--dtype', FORM, ...flags]);
    return new ProfileBed(janus, basename(folder), vocabularySize);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#redis.disconnect();
    await this.#janus.stop();
  }

  /** Sends all requests of a load at once and reads their answers, each as a client of its own. */
  async send({ sequences, context, tokens, seed }: Load): Promise<SentRequest[]> {
    const prompts = randomTokens(this.#vocabularySize, sequences, context, seed);
    const aheadMs = unixAheadMs();
    return Promise.all(
      prompts.map(async (prompt, i) => {
        const request = { prompt, tokens, seed: seed + i };
        const sentAtMs = performance.now() + aheadMs;
        const readAtMs = await streamTokens(this.#janus.url, this.#model, request);
        return { seed: seed + i, sentAtMs, readAtMs: readAtMs.map((ms) => ms + aheadMs) };
      }),
    );
  }

  /** @throws Error when the sequences did not decode together for long enough */
  async run(load: Load): Promise<LoadRun> {
    const watch = new RecordWatch(this.#redis, this.#model);
    const sent = await this.send(load).finally(() => watch.stop());
    const readAtMs = sent.map((request) => request.readAtMs);
    const fromMs = Math.max(...readAtMs.map((of) => of[0]!));
    const untilMs = Math.min(...readAtMs.map((of) => of.at(-1)!));
    const span = spanWithin(await watch.stop(), fromMs, untilMs);
    const times = await readRequestTimes(this.#redis, this.#model, sent);
    const together = (ms: number): boolean => ms >= fromMs && ms <= untilMs;
    const requests = times.map((request, sequence) => ({
      ...request,
      readMs: request.readMs.filter((_, i) => together(readAtMs[sequence]![i]!)),
    }));
    return { span, readAtMs, requests };
  }
}

/** By how much Unix time, which others tell in whole milliseconds, is ahead of `performance.now()`, in milliseconds. */
function unixAheadMs(): number {
  const beganAtMs = Date.now();
  let nowMs = beganAtMs;
  // A look at the moment at which the millisecond changes, which is at most one away.
  while (nowMs === beganAtMs) nowMs = Date.now();
  return nowMs - performance.now();
}
