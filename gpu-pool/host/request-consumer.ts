import { type Job, Worker as QueueWorker } from 'bullmq';
import type { Redis } from 'ioredis';
import { cancelChannel, cancelledKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import type { AttentionInstance } from '../attention/attention-instance.ts';
import { deadlineExceeded, unavailable } from '../attention/failure.ts';
import type { TokenStreamWriter } from './token-stream-writer.ts';

/** Cancelled request ids that are remembered between a job's arrival and its submission. */
const REMEMBERED_CANCELLATIONS = 10_000;

/**
 * Time that a job's lock lives, between its renewals, and between two searches for jobs without one: when a host dies, others have
 * its jobs after the first and the last together, 3 s. A host is not taken for dead unless it renews nothing for 1.5 s.
 */
const JOB_LOCK_MS = 2_000;
const LOCK_RENEWAL_MS = 500;
const STALLED_CHECK_MS = 1_000;

export interface RequestConsumerOptions {
  readonly model: string;
  readonly redisUrl: string;
  readonly redis: Redis;
  /** Connection for the cancel channel alone; closed with the consumer. */
  readonly subscriber: Redis;
  readonly instances: readonly AttentionInstance[];
  readonly writer: TokenStreamWriter;
}

/** Takes sequences off the model's queue as KV slots become free, and hands each to the least loaded attention instance. */
export class RequestConsumer {
  readonly #options: RequestConsumerOptions;
  readonly #worker: QueueWorker<SequenceJob, SequenceOutcome>;
  readonly #cancelled = new Set<string>();

  private constructor(options: RequestConsumerOptions) {
    this.#options = options;
    const slots = options.instances.reduce((sum, instance) => sum + instance.slots, 0);
    this.#worker = new QueueWorker(requestQueueName(options.model), (job) => this.#runRinging(job), {
      prefix: QUEUE_PREFIX,
      connection: { url: options.redisUrl, maxRetriesPerRequest: null },
      concurrency: slots,
      lockDuration: JOB_LOCK_MS,
      lockRenewTime: LOCK_RENEWAL_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: 3,
    });
    // Connection errors are reported by the host's own connection; without a listener they would end the process.
    this.#worker.on('error', () => {});
    options.subscriber.on('message', (_channel, requestId) => this.#cancel(requestId));
  }

  /** Resolves when cancellations are heard and jobs are taken. */
  static async start(options: RequestConsumerOptions): Promise<RequestConsumer> {
    await options.subscriber.subscribe(cancelChannel(options.model));
    const consumer = new RequestConsumer(options);
    await consumer.#worker.waitUntilReady();
    return consumer;
  }

  async #runRinging(job: Job<SequenceJob, SequenceOutcome>): Promise<SequenceOutcome> {
    const { doorbells } = this.#options.writer;
    doorbells.enter(job.data);
    try {
      return await this.#run(job);
    } finally {
      doorbells.leave(job.data);
    }
  }

  async #run(job: Job<SequenceJob, SequenceOutcome>): Promise<SequenceOutcome> {
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
    if (ready.length === 0) {
      return this.#endFailed(
        job.data,
        unavailable('No attention instance of this host is running any more; send the request again.'),
      );
    }
    const least = ready.reduce((best, instance) => (instance.load < best.load ? instance : best));
    return least.submit(job.data, emitted);
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
