import { DelayedError, type Job, Worker as QueueWorker } from 'bullmq';
import type { Redis } from 'ioredis';
import { cancelChannel, cancelledKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import type { AttentionInstance } from '../attention/attention-instance.ts';
import { deadlineExceeded, unavailable } from '../attention/failure.ts';
import type { HeldJob, HeldJobs } from './held-jobs.ts';
import type { TokenStreamWriter } from './token-stream-writer.ts';

/** Cancelled request ids that are remembered between a job's arrival and its submission. */
const REMEMBERED_CANCELLATIONS = 10_000;

/**
 * Time that a job's lock lives, between its renewals, and between two searches for jobs without one: when a host dies, others have
 * its jobs after the first and the last together, 2.25 s. A host is not taken for dead unless it renews nothing for 1.1 s.
 */
const JOB_LOCK_MS = 1_750;
const LOCK_RENEWAL_MS = 400;
const STALLED_CHECK_MS = 500;
/** A sequence is begun so often at most, since it may be what ends the threads and hosts that have it. */
const MOST_STARTS = 5;

export interface RequestConsumerOptions {
  readonly model: string;
  readonly redisUrl: string;
  readonly redis: Redis;
  /** Connection for the cancel channel alone; closed with the consumer. */
  readonly subscriber: Redis;
  readonly instances: readonly AttentionInstance[];
  readonly writer: TokenStreamWriter;
  /** Told of every job that begins and ends. */
  readonly jobs: HeldJobs;
}

/** Takes sequences off the model's queue as KV slots become free, and hands each to the least loaded attention instance. */
export class RequestConsumer {
  readonly #options: RequestConsumerOptions;
  readonly #worker: QueueWorker<SequenceJob, SequenceOutcome>;
  readonly #cancelled = new Set<string>();

  private constructor(options: RequestConsumerOptions) {
    this.#options = options;
    this.#worker = new QueueWorker(requestQueueName(options.model), (job, token) => this.#hold(job, token!), {
      prefix: QUEUE_PREFIX,
      connection: { url: options.redisUrl, maxRetriesPerRequest: null },
      concurrency: Math.max(1, this.#slots()),
      lockDuration: JOB_LOCK_MS,
      lockRenewTime: LOCK_RENEWAL_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: 3,
    });
    // Connection errors are reported by the host's own connection; without a listener they would end the process.
    this.#worker.on('error', () => {});
    this.#worker.on('lockRenewalFailed', () => options.jobs.suspect());
    options.subscriber.on('message', (_channel, requestId) => this.#cancel(requestId));
  }

  /** Resolves when cancellations are heard and jobs are taken. */
  static async start(options: RequestConsumerOptions): Promise<RequestConsumer> {
    await options.subscriber.subscribe(cancelChannel(options.model));
    const consumer = new RequestConsumer(options);
    await consumer.#worker.waitUntilReady();
    return consumer;
  }

  async #hold(job: Job<SequenceJob, SequenceOutcome>, token: string): Promise<SequenceOutcome> {
    const { jobs, writer } = this.#options;
    const earlier = jobs.get(job.id!);
    if (earlier !== undefined) return this.#handBack(job, token, earlier);
    const { requestId, choice } = job.data;
    const held = jobs.enter({ id: job.id!, token, requestId, choice });
    writer.doorbells.enter(job.data);
    try {
      return await this.#run(job, held);
    } finally {
      writer.doorbells.leave(job.data);
      jobs.leave(held);
    }
  }

  /** A job comes again to the host that lost it and is not yet done with it: whoever takes it next goes on with it. */
  async #handBack(job: Job, token: string, earlier: HeldJob): Promise<never> {
    this.#options.jobs.lose(earlier);
    await earlier.left;
    return this.#queueAgain(job, token);
  }

  async #run(job: Job<SequenceJob, SequenceOutcome>, held: HeldJob): Promise<SequenceOutcome> {
    const { redis, writer, instances } = this.#options;
    const { requestId, choice, deadlineAtMs = Number.POSITIVE_INFINITY } = job.data;
    const emitted = job.attemptsStarted > 1 ? await writer.emittedTokens(requestId, choice) : [];
    if ((await redis.exists(cancelledKey(requestId))) === 1 || this.#cancelled.has(requestId)) {
      return this.#endCancelled(job.data);
    }
    if (Date.now() >= deadlineAtMs) {
      return this.#endFailed(
        job.data,
        deadlineExceeded('The request waited for longer than its client allows.'),
      );
    }
    const ready = instances.filter((instance) => instance.state === 'ready');
    if (ready.length === 0) return this.#giveBack(job, held);
    const least = ready.reduce((best, instance) => (instance.load < best.load ? instance : best));
    held.abandon = () => least.cancel(requestId, choice);
    const ended = least.submit(job.data, emitted);
    // It may have been lost since it was taken, while no instance had it.
    if (held.isLost) held.abandon();
    const outcome = await ended;
    return outcome === 'lost' ? this.#giveBack(job, held) : outcome;
  }

  /** Leaves a sequence whose instance has ended to whoever has a free slot, this host included. */
  async #giveBack(job: Job<SequenceJob, SequenceOutcome>, { token }: HeldJob): Promise<SequenceOutcome> {
    if (job.attemptsStarted >= MOST_STARTS) {
      const message = `The instances that had this sequence have ended, ${MOST_STARTS} of them; send the request again.`;
      return this.#endFailed(job.data, unavailable(message));
    }
    return this.#queueAgain(job, token);
  }

  async #queueAgain(job: Job, token: string): Promise<never> {
    // Put back among the waiting ones it would wake nobody up.
    await job.moveToDelayed(Date.now(), token);
    throw new DelayedError();
  }

  /** Takes as many jobs as the instances that serve have slots; to be called when one has ended, and when it serves again. */
  adjust(): void {
    const slots = this.#slots();
    if (slots === 0) return void this.#worker.pause(true);
    this.#worker.concurrency = slots;
    if (this.#worker.isPaused()) void this.#worker.resume();
  }

  #slots(): number {
    const ready = this.#options.instances.filter(({ state }) => state === 'ready');
    return ready.reduce((sum, { slots }) => sum + slots, 0);
  }

  async #endCancelled({ requestId, choice }: SequenceJob): Promise<SequenceOutcome> {
    const counts = { promptTokens: 0, completionTokens: 0 };
    await this.#options.writer.write([
      [requestId, { kind: 'finished', choice, reason: 'cancelled', text: '', ...counts, cachedTokens: 0 }],
    ]);
    return { state: 'cancelled', reason: 'cancelled while it was queued', ...counts };
  }

  async #endFailed({ requestId, choice }: SequenceJob, error: RequestFailure): Promise<SequenceOutcome> {
    await this.#options.writer.write([[requestId, { kind: 'failed', choice, error }]]);
    return { state: 'failed', reason: error.message, promptTokens: 0, completionTokens: 0 };
  }

  #cancel(requestId: string): void {
    this.#cancelled.add(requestId);
    if (this.#cancelled.size > REMEMBERED_CANCELLATIONS) {
      this.#cancelled.delete(this.#cancelled.values().next().value!);
    }
    for (const instance of this.#options.instances) instance.cancel(requestId);
  }

  /** Takes no more jobs and waits for those under way, at most `limitMs`. */
  async drain(limitMs: number): Promise<void> {
    const closing = this.#worker.close();
    await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, limitMs).unref())]);
  }

  /** Ends at once; jobs under way are left to whoever takes them over. */
  async close(): Promise<void> {
    await this.#worker.close(true);
    this.#options.subscriber.disconnect();
  }
}
