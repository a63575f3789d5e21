import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { TokenStreamWriter } from '../../../gpu-pool/host/token-stream-writer.ts';
import { cancelChannel, QUEUE_PREFIX, requestQueueName } from '../../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { announce } from '../../support/gateway/scripted-pool.ts';
import { MODEL, type Pace, parsePace } from './pace.ts';

/** Sequences that it serves at once. */
const MOST_SEQUENCES = 8_192;
/** Tokens of all sequences that are due are written together this often, as a host writes those of a step. */
const TICK_MS = 10;

interface Running {
  readonly job: SequenceJob;
  readonly pace: Pace;
  readonly end: (outcome: SequenceOutcome) => void;
  nextAtMs: number;
  position: number;
}

/** In the place of a pool: answers every request with tokens at the pace that its prompt asks for, each of which says when it was made. */
class TokenSource {
  readonly #running = new Map<string, Running>();
  readonly #writer: TokenStreamWriter;

  constructor(redis: Redis) {
    this.#writer = new TokenStreamWriter(redis);
  }

  async run(job: SequenceJob): Promise<SequenceOutcome> {
    const pace = parsePace(job.prompt);
    this.#writer.doorbells.enter(job);
    await this.#writer.write([[job.requestId, { kind: 'started', choice: 0, promptTokens: 1 }]]);
    const { promise, resolve } = Promise.withResolvers<SequenceOutcome>();
    // Streams that were opened together do not all get their tokens in the same tick.
    const nextAtMs = performance.now() + Math.random() * pace.everyMs;
    this.#running.set(job.requestId, { job, pace, end: resolve, nextAtMs, position: 0 });
    return promise.finally(() => this.#writer.doorbells.leave(job));
  }

  cancel(requestId: string): void {
    this.#running.get(requestId)?.end(outcomeOf('cancelled', 0));
    this.#running.delete(requestId);
  }

  async tick(): Promise<void> {
    const events: [string, TokenEvent][] = [];
    const ended: Running[] = [];
    const nowMs = performance.now();
    for (const [requestId, running] of this.#running) {
      if (running.nextAtMs > nowMs) continue;
      running.nextAtMs += running.pace.everyMs;
      events.push([requestId, tokenAt(running)]);
      if (running.position < running.pace.tokens) continue;
      events.push([requestId, finished(running)]);
      this.#running.delete(requestId);
      ended.push(running);
    }
    await this.#writer.write(events);
    for (const { end, position } of ended) end(outcomeOf('finished', position));
  }
}

function tokenAt(running: Running): TokenEvent {
  const madeAtMs = performance.timeOrigin + performance.now();
  const text = `${madeAtMs.toFixed(3)} `.padEnd(running.pace.textLength, '.');
  return { kind: 'token', choice: 0, position: running.position++, id: 1, text };
}

const finished = ({ position }: Running): TokenEvent => ({
  kind: 'finished',
  choice: 0,
  reason: 'length',
  text: '',
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: position,
});

const outcomeOf = (state: SequenceOutcome['state'], completionTokens: number): SequenceOutcome => ({
  state,
  reason: state,
  promptTokens: 1,
  completionTokens,
});

const [redisUrl] = process.argv.slice(2);
const redis = new Redis(redisUrl!, { maxRetriesPerRequest: null });
const source = new TokenSource(redis);
const subscriber = redis.duplicate();
await subscriber.subscribe(cancelChannel(MODEL));
subscriber.on('message', (_, requestId: string) => source.cancel(requestId));
const worker = new Worker<SequenceJob, SequenceOutcome>(
  requestQueueName(MODEL),
  ({ data }) => source.run(data),
  { connection: redis, prefix: QUEUE_PREFIX, concurrency: MOST_SEQUENCES, lockDuration: 600_000 },
);
await worker.waitUntilReady();
await announce(redis, MODEL, 'ready');
console.log('ready');
for (;;) {
  const nextAtMs = performance.now() + TICK_MS;
  await source.tick();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextAtMs - performance.now())));
}
