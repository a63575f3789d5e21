import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';

/** BullMQ takes jobs without a priority before all that have one, in order of arrival; batch lines get 1 and more. */
export const INTERACTIVE_PRIORITY = 0;
/** A sequence whose host fails is tried this often in all. */
export const SEQUENCE_ATTEMPTS = 3;
/** Ended jobs are kept for a look at them, whichever bound is reached first. */
const KEEP_ENDED_AGE_S = 600;
const KEEP_ENDED_COUNT = 1_000;

const options = (job: SequenceJob): JobsOptions => ({
  jobId: `${job.requestId}-${job.choice}`,
  priority: INTERACTIVE_PRIORITY,
  attempts: SEQUENCE_ATTEMPTS,
  removeOnComplete: { age: KEEP_ENDED_AGE_S, count: KEEP_ENDED_COUNT },
  removeOnFail: { age: KEEP_ENDED_AGE_S, count: KEEP_ENDED_COUNT },
});

export interface RequestQueues {
  /** Queues all jobs of one request at once, or none. */
  readonly add: (jobs: readonly SequenceJob[]) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** One BullMQ queue per model, on one shared connection; there are as many as models that were ready at some time. */
export function createRequestQueues(redis: Redis): RequestQueues {
  const queues = new Map<string, Queue<SequenceJob>>();

  const queueOf = (model: string): Queue<SequenceJob> => {
    const known = queues.get(model);
    if (known !== undefined) return known;
    const queue = new Queue<SequenceJob>(requestQueueName(model), {
      connection: redis,
      prefix: QUEUE_PREFIX,
      skipVersionCheck: true,
    });
    // Failures reach the caller through `add`.
    queue.on('error', () => {});
    queues.set(model, queue);
    return queue;
  };

  return {
    async add(jobs) {
      const first = jobs[0];
      if (first === undefined) return;
      const bulk = jobs.map((job) => ({ name: 'sequence', data: job, opts: options(job) }));
      await bounded(asBrokerFault(queueOf(first.model).addBulk(bulk)), BROKER_ANSWER_MS);
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      queues.clear();
    },
  };
}
